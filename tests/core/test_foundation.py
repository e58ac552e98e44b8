import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mintage.core import errors, registry
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DataError, MintageError
from mintage.core.ids import new_id
from mintage.core.machine import available_cores, process_age_seconds
from mintage.core.settings import load_settings

HEAVY = ("torch", "sqlalchemy", "fastapi", "pyarrow", "onnx", "matplotlib", "PIL")


def test_importing_mintage_loads_nothing_heavy() -> None:
    program = "import json, sys, mintage; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded.intersection(HEAVY)


def test_every_public_name_can_be_had_and_a_wrong_one_is_an_attribute_error() -> None:
    import mintage

    for name in mintage.__all__:
        assert getattr(mintage, name) is not None
    with pytest.raises(AttributeError):
        mintage.no_such_name  # noqa: B018


def test_every_error_is_in_the_drawing_with_its_own_code_and_an_exit_status() -> None:
    drawn = set(re.findall(r"[A-Z][A-Za-z]+", errors.__doc__ or ""))
    classes = [
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, MintageError)
    ]
    assert {cls.__name__ for cls in classes} <= drawn
    assert len({cls.code for cls in classes}) == len(classes)
    assert {cls.exit_status for cls in classes} == {1, 2, 3, 4, 5}


def test_an_error_says_what_to_do_next() -> None:
    error = DataError("It is broken.", remedy="Mend it.")
    assert str(error) == "It is broken. Mend it."
    assert error.http_status == 422
    assert DataError("x", http_status=413).http_status == 413


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    made = [new_id("evt") for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"evt_[0-9a-z]{26}", one) for one in made)
    # Nine characters hold only bits of the clock; the tenth begins the random ones.
    assert [one[:13] for one in made] == sorted(one[:13] for one in made)


def test_canonical_json_has_one_spelling_and_refuses_what_json_cannot_say() -> None:
    assert canonical_json({"b": 1.0, "a": "é"}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(DataError):
        canonical_json({"x": float("nan")})


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None)]
)
def test_threads_follow_the_cgroups_quota_and_not_the_host(
    tmp_path: Path, quota: str, cores: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    without = available_cores(tmp_path / "nowhere")
    assert available_cores(tmp_path) == min(without, cores or without)


def test_the_age_of_this_process_grows_with_the_clock() -> None:
    first = process_age_seconds()
    assert 0 < first <= process_age_seconds()


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAGE_PORT", "eight thousand")
    with pytest.raises(ConfigError, match=r"MINTAGE_PORT.*eight thousand.*unset it"):
        load_settings()
    assert load_settings(port=1234, host=None).port == 1234


def test_a_plug_in_is_found_by_name_and_named_only_once() -> None:
    plugs: registry.Registry[object] = registry.Registry("thing", {})
    plugs.register("a", object)
    assert plugs.get("a") is plugs.get("a")
    with pytest.raises(ConfigError, match="Two plug-ins"):
        plugs.register("a", object)
    with pytest.raises(ConfigError, match=r"There are: a\."):
        plugs.get("b")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MAX_QUEUE", "0", "greater than or equal to 1"),
        ("MAX_UPLOAD_BYTES", "0", "greater than or equal to 1"),
        ("DRAIN_SECONDS", "-1", "greater than or equal to 0"),
        ("DRAIN_SECONDS", "3601", "less than or equal to 3600"),
        ("DRAIN_SECONDS", "inf", "finite"),
        ("DRAIN_SECONDS", "nan", "finite"),
    ],
)
def test_a_setting_that_no_server_could_run_with_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"MINTAGE_{name}", value)
    with pytest.raises(ConfigError, match=f"MINTAGE_{name}: .*{reason}"):
        load_settings()
