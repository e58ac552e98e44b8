import stat
from pathlib import Path

from tests.terminal import Terminal

from mintage.app.root import App
from mintage.core.settings import load_settings


def made(home: Path) -> Path:
    with App(load_settings(home=home)) as app:
        app.capture.customers.add("Ada")
        app.capture.log.tree_head()
    return home


def test_a_weakness_exits_with_3_until_it_is_mended(mintage: Terminal, tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    at = ("doctor", "--security", "--home", home)
    assert mintage.json(*at)["failed"] is False
    home.chmod(0o755)
    found = mintage.json(*at, status=3)
    assert found["failed"] is True
    (open_one,) = (each for each in found["findings"] if each["code"] == "workspace.readable")
    assert open_one["severity"] == "high"
    assert open_one["mendable"] is True
    shown = mintage(*at, status=3)
    assert f"high  {home} can be read by others" in shown
    assert f"chmod 700 {home}" in shown
    assert "--fix" in mintage.err
    mintage(*at, "--fail-on", "critical")
    mended = mintage.json(*at, "--fix")
    assert mended["mended"] == [{"code": "workspace.readable", "change": f"chmod 700 {home}"}]
    assert mended["failed"] is False
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert mintage.json(*at, "--fix")["mended"] == []
    mintage(*at, "--fail-on", "info", status=3)
    assert "security.mended" in mintage("audit", "show", "--home", home)


def test_what_an_open_key_hides_is_found_once_it_is_closed(mintage: Terminal, home: Path) -> None:
    (home / "keys/bundle.pem").chmod(0o644)
    card = home / "models/pets/1/card.md"
    card.write_text(card.read_text() + "and more")
    at = ("doctor", "--security", "--home", home)
    codes = [each["code"] for each in mintage.json(*at, status=3)["findings"]]
    assert codes[:2] == ["key.readable", "bundle.unchecked"]
    mended = mintage.json(*at, "--fix", status=3)
    assert [each["code"] for each in mended["mended"]] == ["key.readable"]
    (worst, *__) = mended["findings"]
    assert (worst["code"], worst["severity"]) == ("bundle.tampered", "critical")
    assert "card.md" in worst["found"]


def test_what_cannot_be_asked_is_refused(mintage: Terminal, tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    mintage("doctor", "--fix", "--home", home, status=2)
    assert "--security" in mintage.err
    mintage("doctor", "--security", "--fail-on", "dire", "--home", home, status=2)
    assert "critical, high, medium, low, info" in mintage.err
    mintage(
        "doctor", "--security", "--advisories", tmp_path / "none.json", "--home", home, status=2
    )
    mintage("doctor", "--security", "--home", tmp_path / "nowhere", status=2)


def test_in_chinese_too(mintage: Terminal, tmp_path: Path, monkeypatch) -> None:
    home = made(tmp_path / "home")
    home.chmod(0o755)
    monkeypatch.setenv("MINTAGE_LANG", "zh")
    shown = mintage("doctor", "--security", "--fix", "--home", home)
    assert "chmod 700" in shown
    assert "can be read" not in shown
