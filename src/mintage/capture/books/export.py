"""What was issued of a month, for tax software: as rows, as e-invoices, or as rows for 数电票."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mintage.capture.books import fapiao, rendering
from mintage.capture.books.documents import Document
from mintage.capture.books.invoice import Invoice
from mintage.capture.books.ubl import ubl
from mintage.core.errors import DataError
from mintage.core.messages import _, speaking

Form = Literal["csv", "ubl", "fapiao"]


@dataclass(frozen=True)
class Exported:
    """Files by their names, the numbers that are in them, and what was left out with its reason."""

    files: dict[str, bytes]
    numbers: list[str]
    left_out: list[tuple[str, str]]

    def to_json(self) -> dict[str, Any]:
        """What was written and what was not, without the files."""
        left_out = [{"number": number, "reason": str(why)} for number, why in self.left_out]
        return {"written": self.numbers, "left_out": left_out}


def export(issued: Sequence[Invoice], form: Form) -> Exported:
    """Write documents that were issued; ``ubl`` makes a file each, the others one for all."""
    files: dict[str, bytes] = {}
    taken: list[Document] = []
    left_out: list[tuple[str, str]] = []
    for each in sorted(issued, key=lambda one: str(one.number)):
        number = str(each.number)
        try:
            with speaking(rendering.language_for(each.document)):
                one = _written(each, form)
        except DataError as error:
            left_out.append((number, error.message))
            continue
        if one is not None:
            files[f"{number}.xml"] = one
        taken.append(each.document)
    together: dict[str, Callable[[Sequence[Document]], str]] = {
        "csv": rendering.csv_text,
        "fapiao": fapiao.fapiao_csv,
    }
    if form in together:
        files[f"{form}.csv"] = together[form](taken).encode()
    return Exported(files, [str(each["number"]) for each in taken], left_out)


def _written(each: Invoice, form: Form) -> bytes | None:
    """The document in a file of its own, where the form has that; refuses what it cannot say."""
    if each.status == "void":
        raise DataError(_("{number} was taken back.", number=str(each.number)))
    if form == "ubl":
        return ubl(each.document)
    if form == "fapiao":
        if each.status in {"credited", "replaced"}:
            raise DataError(_("A credit note took {number} back.", number=str(each.number)))
        fapiao.rows_of(each.document)
    return None
