"""Canonical JSON against the reference implementation of RFC 8785."""

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from mintage.core.canonical import canonical_json, read_json
from mintage.core.errors import DataError

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53) + 1, 2**53 - 1)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_every_value_is_spelled_as_the_reference_spells_it(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "number",
    [
        0.0,
        -0.0,
        1e-4,
        9.999e-5,
        1e-6,
        1.5e-06,
        9.99e-07,
        1e16,
        9007199254740992.0,
        123456.5,
        1e21,
        5e-324,
        0.1,
    ],
)
def test_numbers_at_the_edges_of_the_common_rules_are_spelled_alike(number: float) -> None:
    assert canonical_json([number, -number]) == rfc8785.dumps([number, -number])
    assert json.loads(canonical_json(number)) == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands twice"),
        ('{"a": 1, "\\u0061": 2}', "'a' stands twice"),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ("[-Infinity]", "-Infinity is not a JSON value"),
        ("{", "Expecting"),
        ("1" * 5000, "digits"),
    ],
)
def test_json_that_says_two_things_or_none_is_not_read(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_json(text)
    assert read_json(b'{"a": [1, 2.5, {"b": null}]}') == {"a": [1, 2.5, {"b": None}]}


@pytest.mark.parametrize("value", [2**53, float("inf"), "\ud800", {"\udfff": 1}, {1: 2}, object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(DataError):
        canonical_json({"value": value})
