"""Invoices as PDF: read back by another library, right in Chinese, the same bytes each time."""

from __future__ import annotations

import io
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from tests.fonts import LATIN, make_collection, make_font

from mintage.capture.books import documents, fonts, rendering
from mintage.capture.books.pdf import pdf
from mintage.capture.pricing.rating import Line
from mintage.core.errors import ConfigError
from mintage.core.messages import speaking
from mintage.core.money import NANOS

WANG = {
    "name": "王小明",
    "legal_name": "上海某某科技有限公司",
    "address": "上海市浦东新区世纪大道100号，环球金融中心",
    "tax_number": "91310000MA1FL0XX09",
}


def document(count: int = 1, currency: str = "EUR", **changes: Any) -> documents.Document:
    lines = [
        Line("usage", "gold", n + 1, Fraction(7 * n, 3), unit="image", units=n, used={"pets": n})
        for n in range(count)
    ]
    said: dict[str, Any] = {
        "seller": {"legal_name": "Pets & Co. GmbH"},
        "customer": {"name": "Ada"},
        "currency": currency,
        "period": "2026-11",
        "lines": lines,
        "taxes": [],
        "due_days": 30,
        "rejected": [],
    }
    made = documents.invoice(**said | changes)
    dated = {"issued_at": "2026-12-03T09:00:00.000000Z", "due_at": "2027-01-02T09:00:00.000000Z"}
    return made | dated | {"number": "INV-2026-000001"}


def pages(written: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(written)).pages]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def all_said(made: documents.Document, language: Any) -> list[str]:
    """What the page in HTML says, sentence by sentence: a PDF has to say the same."""
    page = rendering.html(made, "", language)
    page = re.sub(r"<style>.*?</style>|<title>.*?</title>", "", page, flags=re.DOTALL)
    said = re.sub(r"<[^>]*>", "\n", page)
    for name, character in (("&amp;", "&"), ("&#x27;", "'")):
        said = said.replace(name, character)
    lines = [squeezed(line) for line in said.splitlines() if line.strip()]
    return [line for line in lines if line not in ("Status", "状态")]


def set_at(written: bytes) -> list[tuple[str, float]]:
    """Each piece of text of the only page, and where it begins, in points from the left."""
    (page,) = PdfReader(io.BytesIO(written)).pages
    found: list[tuple[str, float]] = []
    page.extract_text(visitor_text=lambda text, __, tm, *_: found.append((text.strip(), tm[4])))
    return [(text, left) for text, left in found if text]


def width_of(amount: str, size: int = 10) -> float:
    """In Helvetica, in points, by the widths that Adobe publishes for it."""
    return sum({",": 278, ".": 278, "-": 333}.get(each, 556) for each in amount) * size / 1000


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "installed_fonts", list)


@pytest.fixture
def chinese_font(tmp_path: Path) -> Path:
    with speaking("zh"):
        known = "".join(all_said(document(2, customer=WANG), "zh"))
    return make_font(tmp_path / "boxes.ttf", LATIN + known + "第页共，项税作废")


@pytest.mark.usefixtures("no_fonts")
def test_letters_of_western_europe_need_no_font() -> None:
    customer = {"name": "Ada", "legal_name": "Société Générale – “Été” GmbH & Co. KG, 5 €"}
    made = document(3, customer=customer, taxes=[{"name": "VAT", "percent": "19"}])
    written = pdf(made, "issued", "en")
    (text,) = pages(written)
    assert "Société Générale – “Été” GmbH & Co. KG, 5 €" in text
    for said in all_said(made, "en"):
        assert said in squeezed(text)
    assert b"FontFile" not in written


@pytest.mark.usefixtures("no_fonts")
def test_chinese_can_be_copied_out_of_it_as_it_was_written(chinese_font: Path) -> None:
    made = document(2, "CNY", customer=WANG)
    text = squeezed("".join(pages(pdf(made, "issued", "zh", chinese_font))))
    for said in all_said(made, "zh"):
        assert said in text
    assert WANG["address"] in text


@pytest.mark.parametrize("ending", ["otf", "ttc"])
def test_other_kinds_of_fonts_do_as_well(ending: str, chinese_font: Path, tmp_path: Path) -> None:
    made = document(2, "CNY", customer=WANG)
    known = LATIN + "".join(all_said(made, "zh")) + "第页共，项税"
    path = tmp_path / f"other.{ending}"
    if ending == "otf":
        make_font(path, known)
    else:
        make_collection(path, {"Boxes JP": LATIN, "Boxes TC": known, "Boxes SC": known})
        assert fonts.font_for("中" if "中" in known else "上", path) == fonts.Font(path, 2)
    assert "上海某某科技有限公司" in squeezed("".join(pages(pdf(made, "issued", "zh", path))))


def test_a_large_font_makes_no_large_file(tmp_path: Path) -> None:
    every = "".join(map(chr, range(0x4E00, 0x9FA6)))
    path = make_font(tmp_path / "large.ttf", LATIN + every + "，。、；（）：")
    assert path.stat().st_size > 800_000
    written = pdf(document(customer={"name": "王小明"}), "issued", "en", path)
    assert len(written) < 40_000
    assert "王小明" in pages(written)[0]


@pytest.mark.usefixtures("no_fonts")
def test_without_a_font_for_its_letters_the_error_names_them() -> None:
    with pytest.raises(ConfigError, match=r"王 \(U\+738B\)") as missing:
        pdf(document(customer={"name": "王小明"}), "issued", "en")
    assert "--font" in str(missing.value.remedy)


@pytest.mark.usefixtures("no_fonts")
def test_a_font_that_lacks_a_letter_is_refused_with_the_letter(tmp_path: Path) -> None:
    path = make_font(tmp_path / "few.ttf", LATIN + "王明")
    with pytest.raises(ConfigError, match=r"lacks: 小 \(U\+5C0F\)\."):
        pdf(document(customer={"name": "王小明"}), "issued", "en", path)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"%PDF-1.7", "not a font"), (b"", "not a font")]
)
def test_what_is_no_font_is_said(content: bytes | None, said: str, tmp_path: Path) -> None:
    for name in ("font.ttf", "font.ttc"):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=said):
            pdf(document(), "issued", "en", tmp_path / name)


def test_a_font_of_this_machine_is_found_and_a_damaged_one_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "share" / "fonts"
    folder.mkdir(parents=True)
    (folder / "NotoSansCJK-Regular.ttc").write_bytes(b"ttcf and nothing more")
    known = make_font(folder / "ordinary.ttf", LATIN + "王小明")
    make_font(folder / "ordinary-Bold.ttf", LATIN + "王小明")
    monkeypatch.setattr(fonts, "_FOLDERS", (str(folder),))
    monkeypatch.setenv("PATH", str(tmp_path))  # so that fontconfig says nothing
    monkeypatch.setattr(fonts.sys, "platform", "linux")
    assert fonts.font_for("王小明") == fonts.Font(known.resolve())


@pytest.mark.parametrize("name", ["متجر الحيوانات", "חנות", "ร้าน"])
def test_scripts_that_would_come_out_wrong_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="right to left or with joined letters"):
        pdf(document(customer={"name": name}), "issued", "en")


@pytest.mark.usefixtures("no_fonts")
def test_what_credit_paid_and_what_is_left_to_pay_are_said() -> None:
    made = documents.settled(document(3), NANOS * 3 // 2, NANOS)
    (text,) = pages(pdf(made, "issued", "en"))
    said = r"Paid from your credit\s+-1\.50\s+Paid\s+-1\.00\s+To be paid\s+4\.50"
    assert re.search(said, text)
    for said in all_said(made, "en"):
        assert said in squeezed(text)


@pytest.mark.usefixtures("no_fonts")
def test_accents_typed_apart_are_put_together() -> None:
    assert "Café" in pages(pdf(document(customer={"name": "Cafe\u0301"}), "issued", "en"))[0]


def test_the_same_document_is_the_same_bytes_paid_or_not(chinese_font: Path) -> None:
    made = document(2, customer=WANG)
    first = pdf(made, "issued", "zh", chinese_font)
    assert (
        first == pdf(made, "paid", "zh", chinese_font) == pdf(made, "credited", "zh", chinese_font)
    )
    assert pdf(document(), "issued", "en") == pdf(document(), "issued", "en")
    assert first != pdf(made, "void", "zh", chinese_font)


def test_it_says_what_it_is_and_since_when() -> None:
    reader = PdfReader(io.BytesIO(pdf(document(), "issued", "en")))
    found = reader.metadata
    assert found is not None
    assert (found.title, found.author) == ("Invoice INV-2026-000001", "Pets & Co. GmbH")
    assert str(found.creation_date) == "2026-12-03 09:00:00+00:00"
    assert reader.trailer["/Root"]["/Lang"] == "en"
    (page,) = reader.pages
    assert [round(float(side)) for side in page.mediabox[2:]] == [595, 842]  # A4, in points


def test_a_long_one_has_its_head_and_number_on_every_page() -> None:
    made = document(90, "KWD", taxes=[{"name": "VAT", "percent": "5"}])
    written = pages(pdf(made, "issued", "en"))
    assert len(written) > 2
    for n, text in enumerate(written, start=1):
        assert f"Page {n} of {len(written)}" in text
        assert "INV-2026-000001" in text
        assert "KWD" in text
    whole = squeezed("".join(written))
    for line in made["lines"]:
        assert squeezed(f"plan {line['plan']}") in whole
        assert rendering.digits(line["amount"], "KWD") in whole


def test_a_line_longer_than_a_page_goes_on_over_the_next(tmp_path: Path) -> None:
    made = document()
    step = {"units": 1, "price": "0.01", "per": 1, "flat": "0"}
    made["lines"][0]["steps"] = [{**step, "units": n} for n in range(1, 150)]
    whole = "\n".join(pages(pdf(made, "issued", "en")))
    found = [int(n) for n in re.findall(r"^(\d+) at 0.01$", whole, re.MULTILINE)]
    assert found == list(range(1, 150))


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "1,764"), ("EUR", "1,763.67"), ("KWD", "1,763.667")]
)
def test_amounts_end_at_one_edge_below_zero_too(currency: str, amount: str) -> None:
    exact = Fraction(1234567, 700)
    lines = [Line("minimum", "gold", 1, exact), Line("discount", "gold", 1, -exact, percent="100")]
    written = pdf(document(currency=currency, lines=lines), "issued", "en")
    parts = {text: left for text, left in set_at(written) if text.lstrip("-") == amount}
    assert set(parts) == {amount, f"-{amount}"}
    edges = [left + width_of(text) for text, left in parts.items()]
    assert edges == [pytest.approx(595.28 - 20 / 25.4 * 72, abs=0.5)] * 2


@pytest.mark.usefixtures("no_fonts")
def test_no_name_runs_off_its_column() -> None:
    name = "Donaudampfschifffahrtsgesellschaftskapitän" * 5
    written = pdf(document(customer={"name": name}), "issued", "en")
    parts = [(text, left) for text, left in set_at(written) if text in name]
    assert "".join(text for text, __ in parts) == name
    assert {round(left) for __, left in parts} == {298}  # the middle of the page
    assert all(len(text) < 50 for text, __ in parts)


def test_no_line_begins_with_a_full_stop(tmp_path: Path) -> None:
    address = "上海市浦东新区世纪大道。" * 9
    path = make_font(tmp_path / "some.ttf", LATIN + "王" + address)
    made = document(customer={"name": "王", "address": address})
    text = "".join(pages(pdf(made, "issued", "en", path)))
    assert squeezed(address) in squeezed(text)
    assert not any(line.startswith("。") for line in text.splitlines())
