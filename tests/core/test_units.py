import pytest

from mintage.core.errors import ConfigError
from mintage.core.units import (
    Reference,
    check_name,
    format_duration,
    format_size,
    parse_duration,
    parse_moment,
    parse_share,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1.5h", 5400), ("1d", 86400)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 minutes", "-5m", "5m30s", "١m٠"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"90s, 5m or 2h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3.21, "3.2 s"),
        (42, "42 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (4800, "1 h 20 min"),
    ],
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("name", ["pets", "猫狗", "pets-2", "a.b", "x"])
def test_names_may_be_in_any_script(name: str) -> None:
    assert check_name(name, "model") == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a b", ".hidden", "a" * 65, "a@1"])
def test_names_that_would_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        check_name(name, "model")


def test_a_reference_names_the_newest_where_it_names_no_version() -> None:
    assert Reference.parse("pets@3", mark="@", kind="model") == Reference("pets", "3")
    for newest in ("pets", "pets@", "pets@latest"):
        assert Reference.parse(newest, mark="@", kind="model") == Reference("pets", None)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_940, "9.9 kB"),
        (9_951, "10 kB"),
        (12_400_000, "12 MB"),
        (999_600_000, "1.0 GB"),
        (3 * 10**15, "3000 TB"),
    ],
)
def test_sizes_read_as_a_person_says_them(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(("text", "share"), [("98%", 0.98), ("0.98", 0.98), ("97.5 %", 0.975)])
def test_shares_are_read_as_people_write_them(text, share):
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "98", "120%", "-1%", "most", "0,98"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ConfigError):
        parse_share(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-27", "2026-11-27T00:00:00+00:00"),
        ("2026-11-27T12:30:00Z", "2026-11-27T12:30:00+00:00"),
        (" 2026-11-27t12:30:00.5z ", "2026-11-27T12:30:00.500000+00:00"),
        ("2026-11-27T12:30:00+08:00", "2026-11-27T04:30:00+00:00"),
    ],
)
def test_a_moment_is_a_date_in_utc_or_says_its_zone(text: str, moment: str) -> None:
    assert parse_moment(text).isoformat() == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01",
        "2026-11-27T12:30:00",
        "2026-11-27 12:30",
        "0001-01-01T00:00:00+08:00",
    ],
)
def test_a_moment_of_no_known_zone_or_none_at_all_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="Not a moment"):
        parse_moment(text)
