"""Tax numbers: what cannot be one is said before it is on an invoice."""

from __future__ import annotations

from typing import Any

import pytest

from mintage.capture import tax_numbers
from mintage.capture.details import Details, read
from mintage.core.errors import ConfigError

# The example of GB 32100-2015, and numbers that companies publish.
CHINESE = (
    "91350100M000100Y43",
    "9144030071526726XG",
    "914403001922038216",
    "91330100799655058B",
    "91110000802100433B",
)


@pytest.mark.parametrize("number", CHINESE)
def test_numbers_of_china_that_are_in_use_are_taken(number: str) -> None:
    tax_numbers.check(number, "CN")
    tax_numbers.check(f"{number[:8]} {number[8:]}".lower(), "cn")
    tax_numbers.check(number, "")


@pytest.mark.parametrize("number", CHINESE)
def test_one_mistyped_character_is_noticed_wherever_it_is(number: str) -> None:
    for n, character in enumerate(number):
        other = "7" if character != "7" else "8"
        with pytest.raises(ConfigError, match="does not fit the others"):
            tax_numbers.check(number[:n] + other + number[n + 1 :], "CN")


@pytest.mark.parametrize("number", ["91350100M000100Y4", "9135O100M000100Y43", "DE123456789", "9"])
def test_what_has_not_the_form_of_a_number_of_china_is_refused(number: str) -> None:
    with pytest.raises(ConfigError, match="no tax number of China"):
        tax_numbers.check(number, "CN")


def test_a_person_pays_tax_by_their_own_number_and_old_numbers_are_still_in_use() -> None:
    tax_numbers.check("11010519491231002X", "CN")  # the example of GB 11643-1999
    tax_numbers.check("310104123456789", "CN")
    with pytest.raises(ConfigError):
        tax_numbers.check("110105194912310021", "CN")


@pytest.mark.parametrize(
    ("country", "number"),
    [
        ("DE", "DE136695976"),
        ("FR", "FR40303265045"),
        ("NL", "NL004495445B01"),
        ("AT", "ATU13585627"),
        ("IE", "IE6433435F"),
        ("IE", "IE8D79739I"),
        ("ES", "ESX2482300W"),
        ("GR", "EL094259216"),
        ("PL", "PL 856-734-62-15"),
        ("SE", "se 556188840401"),
        ("DE", "12/345/67890"),  # the tax office's own, which is not of VAT
        ("US", "DE1"),
        ("", "DE1"),
        ("CH", "CHE-123.456.788"),
        ("DE", ""),
    ],
)
def test_numbers_of_other_countries_are_taken(country: str, number: str) -> None:
    tax_numbers.check(number, country)


@pytest.mark.parametrize(
    ("country", "number"),
    [("DE", "DE12345678"), ("AT", "AT13585627"), ("NL", "NL004495445"), ("GR", "EL09425921X")],
)
def test_a_vat_number_has_the_form_of_its_country(country: str, number: str) -> None:
    with pytest.raises(ConfigError, match=f"VAT number of {country}"):
        tax_numbers.check(number, country)
    assert not tax_numbers.is_vat_number(number, country)


def test_a_wrong_number_is_refused_from_a_file_and_is_kept_nowhere(
    shop: Any, tmp_path: Any
) -> None:
    path = tmp_path / "me.toml"
    path.write_text('tax_number = "91350100M000100Y44"\n')
    with pytest.raises(ConfigError, match="91350100M000100Y44"):
        read(path)
    shop.customers.add("Wang")
    with pytest.raises(ConfigError):
        shop.customers.set_details("Wang", Details(tax_number="91350100M000100Y44"))
    assert shop.customers.find("Wang").details == Details()
    assert shop.leaves("customer.changed") == []
