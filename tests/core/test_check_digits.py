"""Check digits, by the examples that their standards and issuers publish."""

from __future__ import annotations

import pytest

from mintage.core.check_digits import credit_code_check, is_card, is_iban, resident_check_digit

# The usual example of the algorithm, and cards that payment providers publish for trying out.
CARDS = (
    "79927398713",
    "4242424242424242",
    "4000056655665556",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "3056930009020004",
    "36227206271667",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
)
# Of the registry of ISO 13616.
IBANS = (
    "GB82WEST12345698765432",
    "DE89370400440532013000",
    "FR1420041010050500013M02606",
    "NO9386011117947",
    "MT84MALT011000012345MTLCAST001S",
    "NL91ABNA0417164300",
    "BR9700360305000010009795493P1",
    "SA0380000000608010167519",
    "CH9300762011623852957",
    "LC55HEMM000100010012001200023015",
)
# The example of GB 32100-2015, and codes that companies print.
CREDIT_CODES = ("91350100M000100Y43", "9144030071526726XG", "91110000802100433B")


@pytest.mark.parametrize("number", CARDS)
def test_cards_that_are_published_fit_and_with_one_digit_otherwise_do_not(number: str) -> None:
    assert is_card(number)
    for n, digit in enumerate(number):
        assert not is_card(number[:n] + str((int(digit) + 1) % 10) + number[n + 1 :])


@pytest.mark.parametrize("number", IBANS)
def test_accounts_of_the_registry_fit_and_with_two_characters_exchanged_do_not(number: str) -> None:
    assert is_iban(number)
    assert is_iban(number.lower())
    for n in range(4, len(number) - 1):
        if number[n] != number[n + 1]:
            other = number[:n] + number[n + 1] + number[n] + number[n + 2 :]
            assert not is_iban(other)


# The examples of GB 11643-1999.
@pytest.mark.parametrize("number", ["11010519491231002X", "440524188001010014"])
def test_the_check_digit_of_a_resident_is_the_standards(number: str) -> None:
    assert resident_check_digit(number) == number[-1]


@pytest.mark.parametrize("code", CREDIT_CODES)
def test_the_check_digit_of_a_credit_code_is_the_standards(code: str) -> None:
    assert credit_code_check(code) == code[-1]
    for n in range(16):
        if code[n] != code[n + 1]:
            other = code[:n] + code[n + 1] + code[n] + code[n + 2 :]
            assert credit_code_check(other) != code[-1]
