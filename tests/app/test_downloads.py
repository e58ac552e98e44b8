from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.corpus.makers import sheet_rows, xlsx
from tests.loopback import HOST, Server, cut, file, fixed
from tests.pictures import two_classes

from mintage.app.creating import Creating
from mintage.app.downloads import Downloads, is_address
from mintage.app.root import App
from mintage.core.errors import ConfigError, DataError, DependencyDown, SignatureMismatch
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create.collect import Origin
from mintage.sources import https, tables
from mintage.sources.https import PublicFile

ABOUT = Origin("a licence", "a consent", "https://page.example pets.zip sha256:1")
ZIP = "application/zip"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A zip of two class folders."""
    photos = two_classes(tmp_path_factory.mktemp("photos"), each=12)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(photos.rglob("*.jpg")):
            archive.write(path, path.relative_to(photos).as_posix())
    return stream.getvalue()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        yield running


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with App(load_settings(home=tmp_path / "workspace", threads=1)) as opened:
        yield opened


@pytest.fixture
def getting(app: App, server: Server, monkeypatch: pytest.MonkeyPatch) -> Creating:
    monkeypatch.setattr(https.time, "sleep", lambda seconds: None)
    app.create.downloads = Downloads(app.workspace.home / "downloads", server.guard())
    return app.create


def published(packed: bytes, *addresses: str) -> PublicFile:
    return PublicFile("pets.zip", len(packed), hashlib.sha256(packed).hexdigest(), addresses)


class Told(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_set_is_downloaded_checked_and_collected_with_what_is_known_of_it(
    getting: Creating, server: Server, app: App, packed: bytes
) -> None:
    wanted = published(packed, server.script("/pets.zip", file(packed)))
    got = getting.get(wanted, "pets", about=ABOUT)
    assert got.new
    assert got.path == app.workspace.home / "downloads" / "pets.zip"
    assert got.path.read_bytes() == packed
    assert got.dataset.reference == app.create.dataset("pets").reference
    assert len(got.dataset.examples) == 24
    assert got.dataset.card["about"] == vars(ABOUT)
    assert got.dataset.card["source"]["name"] == "pets.zip"


def test_the_layout_of_the_real_archive_is_two_classes(
    getting: Creating, server: Server, packed: bytes
) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as plain, zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme[1].txt", "a licence")
        archive.writestr("MSR-LA - 3467.docx", "a licence")
        for info in plain.infolist():
            archive.writestr(f"PetImages/{info.filename}", plain.read(info))
    real = stream.getvalue()
    wanted = published(real, server.script("/pets.zip", file(real)))
    assert getting.get(wanted, "pets", about=ABOUT).dataset.labels == ("dark", "light")


def test_a_second_get_finds_what_is_there(getting: Creating, server: Server, packed: bytes) -> None:
    wanted = published(packed, server.script("/pets.zip", file(packed)))
    first = getting.get(wanted, "pets", about=ABOUT)
    again = getting.get(wanted, "pets", about=ABOUT)
    assert (again.new, again.dataset.version) == (False, first.dataset.version)
    other = getting.get(wanted, "other", about=ABOUT)
    assert (other.new, other.dataset.version) == (True, first.dataset.version)
    assert len(server.asked) == 1


def test_a_dataset_of_the_same_name_but_other_data_is_not_taken_for_it(
    getting: Creating, server: Server, app: App, packed: bytes, tmp_path: Path
) -> None:
    own = app.create.collect(two_classes(tmp_path / "own", each=7), "pets")
    wanted = published(packed, server.script("/pets.zip", file(packed)))
    got = getting.get(wanted, "pets", about=ABOUT)
    assert got.new
    assert got.dataset.version != own.version


def test_a_download_that_was_interrupted_goes_on(
    getting: Creating, server: Server, packed: bytes
) -> None:
    class CtrlC(Silent):
        def advance(self, done: float, note: str = "") -> None:
            if done:
                raise KeyboardInterrupt

    url = server.script("/pets.zip", file(packed, ETag='"1"'))
    wanted = published(packed, url)
    with pytest.raises(KeyboardInterrupt):
        getting.get(wanted, "pets", about=ABOUT, progress=CtrlC())
    assert getting.get(wanted, "pets", about=ABOUT).new
    assert server.asked[1][1]["Range"].startswith("bytes=")


def test_the_next_address_is_tried_and_the_last_ones_error_is_told(
    getting: Creating, server: Server, packed: bytes
) -> None:
    bad = packed[::-1]
    addresses = (
        server.script("/1", fixed(404)),
        server.script("/2", file(bad)),
        server.script("/3", cut(packed, 100)),
    )
    told = Told()
    good = published(packed, *addresses, server.script("/4", file(packed)))
    with pytest.raises(DependencyDown, match="did not come"):
        getting.get(published(packed, *addresses), "pets", about=ABOUT)
    assert getting.get(good, "pets", about=ABOUT, progress=told).new
    moves = [text for text in told.said if text.endswith("The next address is tried.")]
    assert len(moves) == 3
    assert "(404)" in moves[0]
    assert "not the file that was published" in moves[1]


def test_a_file_that_is_here_already_is_used_where_it_lies(
    getting: Creating, server: Server, app: App, packed: bytes, tmp_path: Path
) -> None:
    here = tmp_path / "here.zip"
    here.write_bytes(packed)
    got = getting.get(published(packed, server.url("/never")), "pets", about=ABOUT, source=here)
    assert (got.new, got.path) == (True, here)
    assert server.asked == []
    assert not (app.workspace.home / "downloads").exists()


def test_another_file_than_the_published_one_is_refused_with_what_to_do(
    getting: Creating, packed: bytes, tmp_path: Path
) -> None:
    wanted = published(packed)
    longer, changed = tmp_path / "longer.zip", tmp_path / "changed.zip"
    longer.write_bytes(packed + b"!")
    changed.write_bytes(packed[:-1] + b"!")
    cases: list[tuple[Path, type[Exception], str]] = [
        (tmp_path / "nowhere.zip", DataError, "does not exist"),
        (tmp_path / ("x" * 300), DataError, "cannot be read: File name too long"),
        (tmp_path, DataError, rf"is not a file; expected pets\.zip, {len(packed):,} bytes"),
        (longer, DataError, rf"is {len(packed) + 1:,} bytes; expected"),
        (changed, SignatureMismatch, rf"SHA-256 \w{{64}}, expected {wanted.sha256}"),
    ]
    for source, kind, says in cases:
        with pytest.raises(kind, match=says) as refused:
            getting.get(wanted, "pets", about=ABOUT, source=source)
        assert "Check the path" in str(refused.value) or (
            f"mintage collect {source} --name pets" in str(refused.value)
        )


def test_a_larger_file_than_was_published_is_not_fetched(
    getting: Creating, server: Server, packed: bytes
) -> None:
    url = server.script("/pets.zip", file(packed + b"!"))
    with pytest.raises(DataError, match="is larger than"):
        getting.get(published(packed, url), "pets", about=ABOUT)


# Any address


def test_an_address_is_told_from_a_path() -> None:
    assert is_address("https://files.example/a.zip")
    assert is_address("HTTP://files.example")
    assert not is_address("photos/https:/x")
    assert not is_address("C:/photos")


def test_a_file_at_an_address_is_collected_like_one_on_disk(
    getting: Creating, server: Server, app: App, packed: bytes
) -> None:
    url = server.script("/sets/pets.zip", file(packed, ETag='"1"')) + "?token=secret"
    found = getting.downloads.located(url)
    assert found.source_name == f"pets.zip (https://{HOST}:{server.server_port})"
    assert found.sha256 == hashlib.sha256(packed).hexdigest()
    assert found.path.is_relative_to(app.workspace.home / "downloads")
    assert "secret" not in str(found)
    assert len(app.create.collect(found.path, "pets").examples) == 24
    assert getting.downloads.located(url) == found
    assert server.asked[1][1]["If-None-Match"] == '"1"'
    other = server.script("/other/pets.zip", file(packed))
    assert getting.downloads.located(other).path != found.path


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/get", {"Content_Type": ZIP}, "get"),
        (
            "/get.php",
            {"Content_Disposition": 'attachment; filename="../my pets.ZIP"'},
            "my_pets.ZIP",
        ),
        ("/", {"Content_Type": "text/csv; charset=utf-8"}, "download"),
        ("/get", {"Content_Disposition": 'attachment; filename="get.json"'}, "get.json"),
        ("/get", {"Content_Disposition": 'attachment; filename="rows.csv"'}, "rows.csv"),
    ],
)
def test_a_server_names_a_file_for_the_card_and_not_on_the_disk(
    getting: Creating, server: Server, packed: bytes, path: str, headers: dict[str, str], name: str
) -> None:
    url = server.script(path, file(packed, **headers))
    for __ in range(2):
        found = getting.downloads.located(url)
        assert found.source_name.partition(" ")[0] == name
        assert found.path.name == (path.strip("/") or "download")
        assert found.path.read_bytes() == packed
        assert len(getting.collect(url, "pets").examples) == 24
    beside = {each.name for each in found.path.parent.iterdir()}
    assert beside == {found.path.name, f"{found.path.name}.json"}


def test_a_web_page_is_no_file(getting: Creating, server: Server, app: App) -> None:
    url = server.script("/pets.zip", file(b"<html>", Content_Type="text/html; charset=utf-8"))
    with pytest.raises(DataError, match="is a web page") as refused:
        getting.downloads.located(url)
    assert "address of the file itself" in refused.value.remedy
    assert list((app.workspace.home / "downloads").iterdir()) == []


def test_what_never_came_leaves_no_folder_and_what_began_stays(
    getting: Creating, server: Server, app: App, packed: bytes
) -> None:
    folder = app.workspace.home / "downloads"
    with pytest.raises(DataError, match="is not there"):
        getting.downloads.located(server.script("/gone.zip", fixed(404)))
    assert list(folder.iterdir()) == []
    with pytest.raises(DependencyDown, match="did not come"):
        getting.downloads.located(server.script("/half.zip", cut(packed, 100)))
    (part,) = folder.glob("*/*.part")
    assert part.stat().st_size > 0


SECRET = "path,label\n/etc/secret.jpg,a\n../../other.jpg,b\n"


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/rows", SECRET.encode(), {"Content_Type": "text/csv"}),
        ("/rows", SECRET.encode(), {"Content_Disposition": "attachment; filename=rows.csv"}),
        ("/rows.zip", SECRET.encode(), {"Content_Type": ZIP}),
        ("/rows.txt", SECRET.encode("UTF-16"), {}),
        ("/rows", b'{"path": "/etc/secret.jpg", "label": "a"}\n', {}),
        ("/rows", b"age,label\n3,a\n", {}),
    ],
)
def test_a_table_at_an_address_is_refused_whatever_it_is_called(
    getting: Creating,
    server: Server,
    app: App,
    path: str,
    body: bytes,
    headers: dict[str, str],
) -> None:
    url = server.script(path, file(body, **headers))
    with pytest.raises(DataError, match=r"is not a zip|is a zip that is cut short") as refused:
        getting.collect(url, "pets")
    assert refused.value.remedy
    assert app.create.newest("pets") is None


@pytest.mark.parametrize("ending", tables.ENDINGS)
def test_an_address_that_ends_as_a_table_does_is_not_even_asked(
    getting: Creating, server: Server, app: App, ending: str
) -> None:
    url = server.script(f"/rows{ending.upper()}", file(xlsx("")))
    with pytest.raises(DataError, match="only a zip is collected") as refused:
        getting.collect(url + "?a=1", "pets")
    assert "collect the table there" in refused.value.remedy
    assert server.asked == []
    assert not (app.workspace.home / "downloads").exists()


def test_a_workbook_without_its_ending_is_refused_too(getting: Creating, server: Server) -> None:
    rows = sheet_rows([["path", "label"], ["/etc/secret.jpg", "a"]])
    with pytest.raises(DataError, match="is a document, not a zip"):
        getting.collect(server.script("/rows", file(xlsx(rows))), "pets")


def test_what_is_refused_is_not_kept_and_a_zip_cut_short_is_called_that(
    getting: Creating, server: Server, app: App, packed: bytes
) -> None:
    with pytest.raises(DataError, match="is not a zip"):
        getting.downloads.located(server.script("/rows", file(b"a,label\n")))
    assert list((app.workspace.home / "downloads").iterdir()) == []
    with pytest.raises(DataError, match="is a zip that is cut short or damaged"):
        getting.collect(server.script("/get", file(packed[:-100])), "pets")


@pytest.mark.parametrize(
    "location",
    ["http://files.example/a.zip", "ftp://files.example/a", "https://u:p@files.example/"],
)
def test_what_is_no_safe_address_is_refused(getting: Creating, location: str) -> None:
    with pytest.raises(ConfigError):
        getting.downloads.located(location)


def test_nothing_but_a_test_reaches_loopback(app: App, server: Server) -> None:
    with pytest.raises(ConfigError, match="not a public address"):
        app.create.downloads.located(f"https://127.0.0.1:{server.server_port}/x.zip")


def test_a_zip_at_an_address_is_scored_like_one_on_disk(
    home: Path, server: Server, packed: bytes, tmp_path: Path
) -> None:
    url = server.script("/pets.zip", file(packed))
    with App(load_settings(home=home, threads=1)) as app:
        app.create.downloads = Downloads(home / "downloads", server.guard())
        scored = app.deliver.score(url, "pets", tmp_path / "scores.csv")
        assert (scored["source"], scored["rows"], scored["unreadable"]) == ("zip", 24, 0)
        (tmp_path / "pets.zip").write_bytes(packed)
        app.deliver.score(tmp_path / "pets.zip", "pets", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "scores.csv").read_bytes()
