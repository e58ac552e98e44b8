"""From a folder of pictures to an evaluated, signed model: the seed network, by the Python face."""

from __future__ import annotations

import time

from benchmarks.stopwatch import Stopwatch, answer, arguments


class Stages:
    """A progress display that shows nothing and knows how long each stage took."""

    def __init__(self) -> None:
        self.verb = ""
        self.seconds: dict[str, float] = {}
        self._title, self._began = "", 0.0

    def start(self, title: str, total: float | None = None) -> None:  # noqa: ARG002 - the protocol's
        """A stage begins."""
        self._title, self._began = str(title), time.monotonic()

    def advance(self, done: float, note: str = "") -> None:
        """Nobody looks."""

    def finish(self) -> None:
        """The stage is over."""
        name = f"{self.verb}: {self._title}"
        took = time.monotonic() - self._began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 4)

    def say(self, text: str) -> None:
        """Nobody listens."""


def main() -> None:
    asked = arguments(__doc__, "train", "held_out", "home", epochs=10)
    watch = Stopwatch(asked.started)
    # What the verbs load when they are first used is loaded here, so that it counts as imports.
    import alembic.command  # noqa: F401

    import mintage
    import mintage.create.run

    watch.lap("import")
    stages = Stages()
    workspace = mintage.open_workspace(asked.home)
    watch.lap("open the workspace")
    stages.verb = "collect"
    workspace.create.collect(asked.train, "pets", progress=stages)
    watch.lap("collect")
    stages.verb = "train"
    run = workspace.create.train(
        "pets",
        recipe="seed-cnn",
        epochs=asked.epochs,
        seed=asked.seed,
        report=False,  # the script beside it makes none
        progress=stages,
    )
    watch.lap("train")
    stages.verb = "evaluate"
    model = f"{run.model}@{run.version}"
    measured = workspace.create.evaluate(model, data=asked.held_out, progress=stages)
    watch.lap("evaluate")
    answer(
        watch,
        ("mintage", "torch"),
        accuracy=measured["accuracy"],
        validation=run.record["metrics"]["validation_accuracy"],
        stages=stages.seconds,
    )


if __name__ == "__main__":
    main()
