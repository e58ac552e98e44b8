from pathlib import Path

from tests.terminal import Terminal

SMALL = ("--quick", "--examples", 5, "--queries", 6)


def test_an_audit_is_shown_written_and_verified_by_its_file(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    at = ("--home", home)
    signed, page = tmp_path / "audit.json", tmp_path / "audit.html"
    shown = mintage("audit", "run", "pets", *SMALL, "--out", signed, "--html", page, *at)
    for check in ("signature", "graph", "dataset", "canary inputs", "robustness", "membership"):
        assert check in shown
    assert "at eps 4/255 with 6 queries a picture" in shown
    assert "A stronger attack" in shown
    assert "the next is due on" in mintage.err
    assert page.read_text().startswith("<!doctype html>")
    proved = mintage.json("verify", signed, *at)
    assert proved["kind"] == "audit"
    found = mintage.json("audit", "run", "pets", *SMALL, *at)
    assert found["passed"] is True
    assert found["robustness"]["queries"] == 6
    assert len([*mintage.json("audit", "show", "--kind", "model.audited", *at)]) == 2


def test_an_audit_is_shown_again_by_its_model_and_by_its_id(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    at = ("--home", home)
    mintage("audit", "report", "pets", *at, status=2)
    assert "pets@1 never was audited" in mintage.err
    assert "audit none" in " ".join(mintage("show", "pets@1", *at).split())
    first = mintage.json("audit", "run", "pets", *SMALL, *at)
    newest = mintage.json("audit", "run", "pets", *SMALL, *at)
    assert mintage.json("audit", "report", "pets@1", *at) == newest
    card, signed = tmp_path / "card.md", tmp_path / "audit.json"
    shown = mintage("audit", "report", first["id"], "--card", card, "--out", signed, *at)
    assert first["id"] in shown
    assert "membership" in shown
    assert card.read_text() == first["card"]
    assert mintage.json("verify", signed, *at)["name"] == f"audit/{first['id']}"
    assert mintage.json("show", "pets@1", *at)[0]["audit"]["id"] == newest["id"]
    assert "passed on" in mintage("show", "pets@1", *at)
    mintage("audit", "report", "aud_nowhere", *at, status=2)


def test_what_is_sold_is_listed_with_when_it_is_due(mintage: Terminal, home: Path) -> None:
    at = ("--home", home)
    mintage("audit", "due", *at)
    assert "No model is sold." in mintage.err
    mintage("publish", "pets", "--product", "pets", *at)
    assert "pets@1 is sold and never was audited" in mintage("audit", "due", *at)
    assert mintage.json("audit", "due", *at)[0]["overdue"] is True
    mintage("audit", "run", "pets", *SMALL, *at)
    assert mintage.json("audit", "due", *at)[0]["overdue"] is False


def test_a_model_that_does_not_hold_exits_with_3(mintage: Terminal, home: Path) -> None:
    (home / "models/pets/1/card.md").write_text("another card")
    shown = mintage("audit", "run", "pets", *SMALL, "--home", home, status=3)
    assert "failed" in shown
    assert "card.md" in shown
    mintage("audit", "run", "cats", *SMALL, "--home", home, status=2)


def test_in_chinese_too(mintage: Terminal, home: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINTAGE_LANG", "zh")
    page = tmp_path / "audit.html"
    shown = mintage("audit", "run", "pets", *SMALL, "--html", page, "--home", home)
    assert "金丝雀输入" in shown
    assert "次查询的攻击下" in shown
    assert "made-up" not in shown + page.read_text()
