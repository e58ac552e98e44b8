from __future__ import annotations

import math
import traceback
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.keys import PREFIX, ApiKey, IssuedKey, KeyInfo
from mintage.core.errors import Unauthenticated

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_key_has_a_typed_prefix_and_more_than_150_random_bits() -> None:
    key = ApiKey.generate().reveal()
    assert key.startswith("mtg_live_")
    random_part = key[len(PREFIX) : -6]
    assert set(random_part) <= set(BASE62)
    # What `last4` shows is no secret any more: 150 bits have to be left without it.
    assert len(random_part) * math.log2(62) - 4 * math.log2(62) > 150


def test_the_last_six_characters_are_the_crc32_of_the_rest_in_base62() -> None:
    key = ApiKey.generate().reveal()
    number = sum(BASE62.index(digit) * 62**place for place, digit in enumerate(key[:-7:-1]))
    assert number == zlib.crc32(key[:-6].encode())


def test_no_two_keys_are_alike() -> None:
    assert len({ApiKey.generate().reveal() for _ in range(1000)}) == 1000


def test_a_key_is_read_back_as_itself() -> None:
    key = ApiKey.generate()
    again = ApiKey.parse(key.reveal())
    assert again.reveal() == key.reveal()
    assert again.sha256 == key.sha256
    assert key.last4 == key.reveal()[-4:]


@given(place=st.integers(0, 44), character=st.characters())
def test_one_wrong_character_is_always_refused(place: int, character: str) -> None:
    key = ApiKey.generate().reveal()
    wrong = key[:place] + character + key[place + 1 :]
    if wrong == key:
        return
    with pytest.raises(Unauthenticated):
        ApiKey.parse(wrong)


@given(text=st.none() | st.text())
def test_what_is_no_key_is_refused_with_one_and_the_same_answer(text: str | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        ApiKey.parse(text)
    assert refused.value.message == "No valid API key came with this call."
    assert refused.value.http_status == 401


def test_a_key_does_not_show_itself() -> None:
    key = ApiKey.generate()
    issued = IssuedKey(KeyInfo("key_1", "cus_1", key.last4, "2026-11-23"), key)
    shown = [repr(key), str(key), f"{key}", repr([key]), repr(issued)]
    shown += [str(ValueError(key)), _traceback_with_locals(key)]
    secret = key.reveal()[len(PREFIX) : -6]
    assert not any(secret[:8] in text for text in shown)
    assert all(key.last4 in text for text in shown)


def _traceback_with_locals(key: ApiKey) -> str:
    try:
        int(key)  # type: ignore[call-overload]
    except TypeError as error:
        captured = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(captured.format())
