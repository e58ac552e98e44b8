"""Freed memory stays with the process, so that steps stop touching new pages."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from mintage.create.allocation import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def step():
    large = [torch.ones(10_000_000) for _ in range(2)]  # above what malloc may learn to keep
    return sum(float(each[0]) for each in large)
for _ in range(12):  # until the heap has its shape
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is meant")
def test_steps_touch_no_new_pages_once_the_first_ones_have() -> None:
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ("given-back", "kept")
    }
    assert faults["kept"] < 0.05 * faults["given-back"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is meant")
def test_what_a_training_no_longer_needs_is_given_back() -> None:
    script = """
from pathlib import Path
import torch
from mintage.create.allocation import give_back, keep_freed_memory
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
keep_freed_memory()
before = resident()
large = [torch.ones(25_000_000) for _ in range(4)]
del large
kept = resident() - before
give_back()
print(kept, resident() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    kept, after = map(int, done.stdout.split())
    assert kept > 300_000
    assert after < 50_000
