"""The report of a run, and the measures that it still lacks. No torch is loaded here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mintage.app.evaluating import Evaluating
from mintage.bundle.graph import Graph
from mintage.core import registry
from mintage.core.errors import DataError
from mintage.core.files import write_atomic
from mintage.core.messages import _, current
from mintage.core.progress import Progress, Silent
from mintage.create.answers import Answers
from mintage.create.card import report_card
from mintage.create.diagnose import PARTS, diagnose, in_split, lacks
from mintage.create.prepare import decoded
from mintage.create.run_files import RECIPE_FILE, RECORD_FILE, read_run_file

REPORT, CARD = "report.html", "card.md"


class Reporting(Evaluating):
    """Reports in the reader's language: whoever asks for one again gets it in theirs."""

    def report(self, reference: str, *, progress: Progress | None = None) -> Path:
        """The report of the run that made a model, written anew, and beside it ``card.md``.

        What training had no time to measure is measured now, and kept in the run's record.

        Raises:
            DataError: the run's record is gone (the model came from elsewhere) or damaged.
        """
        folder = self.bundles.run_folder(reference)
        record = read_run_file(folder, RECORD_FILE)
        asked = self.model(reference).subject
        if record["model"] != asked:
            raise DataError(
                _(
                    "{asked} was signed when its run was interrupted; the run went on, and its "
                    "report is that of {model}.",
                    asked=asked,
                    model=record["model"],
                ),
                remedy=_("Run mintage report {model}.", model=record["model"]),
            )
        known = record.get("diagnosis") or {}
        if lacks(known) or record["report"] is None:
            if lacks(known):
                record["diagnosis"] = self._diagnosis(reference, known, progress or Silent())
            record["report"] = str(folder / REPORT)
            write_atomic(folder / RECORD_FILE, json.dumps(record, indent=1).encode())
        return self.write_report(folder)

    def write_report(self, folder: Path) -> Path:
        """Both files of a run's folder, from its record and recipe."""
        from mintage.create.report import render  # noqa: PLC0415 - loads Matplotlib

        record = read_run_file(folder, RECORD_FILE)
        if (folder / RECIPE_FILE).exists():
            record["recipe"] = read_run_file(folder, RECIPE_FILE)
        write_atomic(folder / CARD, report_card(record, current()).encode())
        path = folder / REPORT
        write_atomic(path, render(record, current()).encode())
        return path

    def _diagnosis(
        self, reference: str, known: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]:
        bundle = self.model(reference)
        dataset = self._trained_on(bundle.manifest)
        if dataset is None:
            reason = _(
                "the dataset {name} is not in this workspace", name=bundle.manifest.dataset["name"]
            )
            left_out = [{"part": part, "reason": reason} for part in PARTS if part not in known]
            return {**known, "left_out": left_out}
        kind = registry.modalities().get(bundle.manifest.modality)
        images = decoded(self._workspace, dataset, kind, bundle.manifest.input, progress)
        graph = Graph(bundle.model, threads=self.threads)
        positions = in_split(dataset, "test")
        return diagnose(
            Answers.of(graph, bundle.manifest, dataset, images, positions),
            workspace=self._workspace,
            progress=progress,
            known=known,
        )
