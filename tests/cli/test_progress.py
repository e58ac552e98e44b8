"""What stands beside a bar where the terminal is narrow."""

import io

import pytest
from rich.console import Console

from mintage.cli import output
from mintage.cli.output import TerminalProgress

NOTE = "2 min 03 s left  84.3% right  loss 0.345  epoch 12  1,234 examples/s"


def drawn(monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(output, "stderr", console)
    progress = TerminalProgress()
    progress.start("Training compact, fold 2 of 5", 1.0)
    progress.advance(0.5, NOTE)
    progress.finish()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("width", "seen", "left_out"),
    [
        (160, ["fold 2 of 5", "2 min 03 s left", "84.3% right", "1,234 examples/s"], []),
        (100, ["fold 2 of 5", "2 min 03 s left", "84.3% right"], ["examples/s"]),
        (80, ["fold 2 of 5", "2 min 03 s left"], ["loss", "examples/s", "…"]),
    ],
)
def test_what_matters_most_stays_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, seen: list[str], left_out: list[str]
) -> None:
    line = drawn(monkeypatch, width)
    for words in seen:
        assert words in line
    for words in left_out:
        assert words not in line


def test_a_long_title_leaves_room_for_the_share_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(output, "stderr", console)
    progress = TerminalProgress()
    progress.start("在" * 60, 1.0)
    progress.advance(0.5, "35 min 28 s left")
    progress.finish()
    assert "…" in stream.getvalue()
    assert "35 min 28 s left" in stream.getvalue()
