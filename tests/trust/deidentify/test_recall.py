"""How much is found is measured in texts that are made for it, and nothing is said beyond that."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from mintage.core.check_digits import credit_code_check, is_card, is_iban, resident_check_digit
from mintage.trust.deidentify.detectors import KINDS, Found, find
from mintage.trust.deidentify.plain import plain
from mintage.trust.deidentify.recall import recalls
from mintage.trust.deidentify.synthetic import LANGUAGES, Example, examples

TEXTS = list(examples(2_000, 0))


def test_a_seed_makes_the_same_texts_and_another_makes_others() -> None:
    assert list(examples(200, 3)) == list(examples(200, 3))
    assert list(examples(200, 3)) != list(examples(200, 4))


def test_every_kind_is_planted_in_both_languages_and_a_quarter_of_the_texts_has_none() -> None:
    planted = [(each.language, value.kind) for each in TEXTS for value in each.planted]
    for language in LANGUAGES:
        for kind in KINDS:
            assert planted.count((language, kind)) >= 50
    assert sum(not each.planted for each in TEXTS) == len(TEXTS) // 4


def test_what_is_planted_has_the_check_digits_of_its_kind() -> None:
    for each in TEXTS:
        for value in each.planted:
            written = plain(each.text[value.start : value.end]).upper()
            number = "".join(filter(str.isalnum, written))
            if value.kind == "card":
                assert is_card(number)
            elif value.kind == "iban":
                assert is_iban(number)
            elif value.kind == "id":
                assert resident_check_digit(number) == number[-1]
            elif value.kind == "uscc":
                assert credit_code_check(number) == number[-1]


def test_most_is_found_of_every_kind_and_in_no_kind_is_it_said_to_be_all_by_itself() -> None:
    """Some is planted in ways that nobody looks for: else the measurement would say nothing."""
    found = recalls(TEXTS, find)
    assert [(each.kind, each.language) for each in found] == [
        (kind, language) for kind in KINDS for language in LANGUAGES
    ]
    assert all(each.found >= 0.55 * each.planted for each in found)
    assert any(each.found < each.planted for each in found)


@pytest.mark.parametrize(
    ("spans", "found", "alarms"),
    [
        ([], 0, 0),
        ([(5, 9)], 1, 0),
        ([(5, 8)], 0, 0),
        ([(4, 7), (7, 12)], 1, 0),
        ([(6, 9)], 0, 0),
        ([(5, 9), (10, 12)], 1, 1),
        ([(0, 5)], 0, 1),
    ],
)
def test_a_value_is_found_where_none_of_it_is_left(
    spans: list[tuple[int, int]], found: int, alarms: int
) -> None:
    def only(text: str, kinds: Collection[str]) -> list[Found]:
        assert (text, tuple(kinds)) == ("card 4242 more", KINDS)
        return [Found(start, end, "card") for start, end in spans]

    text = Example("card 4242 more", "en", (Found(5, 9, "card"),))
    measured = next(each for each in recalls([text], only) if each.kind == "card")
    assert (measured.planted, measured.found, measured.false_alarms) == (1, found, alarms)
