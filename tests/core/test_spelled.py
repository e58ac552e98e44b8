"""Objects that are spelled from members that others have in common with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_canonical import VALUES

from mintage.core.canonical import Spelled, canonical_json
from mintage.core.errors import DataError

KEYS = st.text(st.characters(max_codepoint=126), max_size=5)
OBJECTS = st.dictionaries(KEYS, VALUES)


@given(OBJECTS, OBJECTS)
def test_what_is_put_together_is_spelled_as_one_object(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert (Spelled.of(one) | Spelled.of(other)).encode() == canonical_json(one | other)


@given(OBJECTS, st.data())
def test_some_members_are_spelled_as_an_object_of_their_own(
    whole: dict[str, object], data: st.DataObject
) -> None:
    keys = data.draw(
        st.lists(st.sampled_from(sorted(whole)), unique=True) if whole else st.just([])
    )
    found = Spelled.of(whole).only(keys)
    assert found.encode() == canonical_json({key: whole[key] for key in keys})
    assert all((key in found) == (key in keys) for key in whole)


class Name(str):
    """A key as a database's row has them."""

    __slots__ = ()


def test_a_key_may_be_more_than_a_string() -> None:
    assert Spelled.of({Name("b"): 1, "a": 2}).encode() == b'{"a":2,"b":1}'


def test_halves_of_a_surrogate_pair_and_keys_that_sort_otherwise_are_refused() -> None:
    with pytest.raises(DataError):
        Spelled.of({"a": "\ud800"}).encode()
    with pytest.raises(DataError):
        Spelled.of({"é": 1})
