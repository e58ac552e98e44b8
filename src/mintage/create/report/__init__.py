"""The report of a run: one HTML file, readable offline and on a phone; ``app`` asks for it."""

from mintage.create.report.document import render as render
