"""The reference tool of OpenSSF Model Signing, in a process and, if need be, an environment of its
own: ``MINTAGE_MODEL_SIGNING`` names the Python that has ``model-signing`` and ``pyOpenSSL``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_PYTHON = os.environ.get("MINTAGE_MODEL_SIGNING")  # before a fixture takes it away


def _python() -> str:
    if _PYTHON:
        return _PYTHON
    if find_spec("model_signing") is None or find_spec("OpenSSL") is None:
        pytest.skip("model-signing and pyOpenSSL are not installed (or see MINTAGE_MODEL_SIGNING)")
    return sys.executable


def verify(folder: Path, signature: Path, public_key: Path) -> subprocess.CompletedProcess[str]:
    """What ``model_signing verify key`` says."""
    words = ("verify", "key", folder, "--signature", signature, "--public_key", public_key)
    return _run(("-m", "model_signing", *words))


def sign(folder: Path, signature: Path, private_key: Path, *, how: str = "file") -> None:
    """Sign with the tool's library; ``how`` is ``file``, ``blake2b``, or ``shard`` of 10 bytes."""
    configured = {
        "file": "use_file_serialization(hashing_algorithm='sha256')",
        "blake2b": "use_file_serialization(hashing_algorithm='blake2')",
        "shard": "use_shard_serialization(hashing_algorithm='sha256', shard_size=10)",
    }[how]
    script = (
        "import sys; from model_signing import hashing, signing; "
        "folder, signature, key = sys.argv[1:]; "
        f"how = hashing.Config().{configured}.set_ignored_paths(paths=[signature]); "
        "signing.Config().use_elliptic_key_signer(private_key=key)"
        ".set_hashing_config(how).sign(folder, signature)"
    )
    done = _run(("-c", script, folder, signature, private_key))
    assert done.returncode == 0, done.stderr


def _run(words: tuple[object, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_python(), *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
