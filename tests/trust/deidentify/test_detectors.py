"""Personal data is found by its form and its check digits, in a time in proportion to the text."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from tests.core.test_check_digits import CARDS, CREDIT_CODES, IBANS

from mintage.core.errors import ConfigError
from mintage.trust.deidentify.detectors import KINDS, find, kinds_of


def found(text: str, *kinds: str) -> list[str]:
    return [text[each.start : each.end] for each in find(text, kinds or KINDS)]


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("Ask ada@example.com.", ["ada@example.com"]),
        ("请发到ada@example.com，谢谢", ["ada@example.com"]),
        ("mailto:Ada.Love-lace+x_1@sub.example.co.uk?x", ["Ada.Love-lace+x_1@sub.example.co.uk"]),
        ("x='ada@example.com', <b@c.org> **d@e.io**", ["ada@example.com", "b@c.org", "d@e.io"]),
        ("https://x.org/?mail=ada@example.com&b=1", ["ada@example.com"]),
        ("müller@bücher.de, иван@пример.рф", ["müller@bücher.de", "иван@пример.рф"]),
        ("ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", ["ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ"]),
        ("a@xn--bcher-kva.xn--p1ai", ["a@xn--bcher-kva.xn--p1ai"]),
        (r"{\"to\":\"x\nada@example.com\"}", ["ada@example.com"]),
        ("ada (at) example.com, b[at]c.org", ["ada (at) example.com", "b[at]c.org"]),
        ("react@18.2.0 ada@localhost @ada a@b", []),
    ],
)
def test_addresses_of_e_mail(text: str, emails: list[str]) -> None:
    assert found(text) == emails


@pytest.mark.parametrize(
    "phone",
    [
        "13812345678",
        "138 1234 5678",
        "138-1234-5678",
        "+86 138-1234-5678",
        "8613812345678",
        "0086 13812345678",
        "１３８１２３４５６７８",
        "138\u200b1234\u200b5678",
        "138\u20111234\u20115678",
        "010-12345678",
        "(0571) 8888 8888",
        "（021）12345678-123",
        "+44 (0)20 7946 0958",
        "+49 30 901820",
        "+33 1 23 45 67 89",
        "0049 171 1234567",
        "(415) 555-2671",
        "415.555.2671",
        "1-415-555-2671",
        "+1 (415) 555-2671",
    ],
)
def test_telephone_numbers(phone: str) -> None:
    assert found(f"Call {phone}, please") == [phone]
    assert found(f"请打{phone}。") == [phone]


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("Phone: 020 7946 0958", "020 7946 0958"),
        ('{"phone_number": 4155552671}', "4155552671"),
        ("Tel. No: 5552671", "5552671"),
        ("my phone number is 5552671", "5552671"),
        ("我的电话是88886666", "88886666"),
        ("电话：88886666", "88886666"),
        ("WhatsApp 91234567", "91234567"),
    ],
)
def test_what_is_called_a_telephone_number_is_one_in_any_form(text: str, phone: str) -> None:
    assert found(text) == [phone]


@pytest.mark.parametrize("card", [each for each in CARDS if len(each) >= 13])
def test_cards_in_one_and_in_groups(card: str) -> None:
    assert found(f"card {card}.", "card") == [card]
    if len(card) in (16, 19):
        for gap in " -":
            groups = gap.join(card[n : n + 4] for n in range(0, len(card), 4))
            assert found(f"5 {groups} 5", "card") == [groups]
    mistyped = card[:-1] + str((int(card[-1]) + 1) % 10)
    assert found(f"card {mistyped}.", "card") == []


@pytest.mark.parametrize("iban", IBANS)
def test_accounts_in_one_and_in_groups_end_where_their_country_says(iban: str) -> None:
    groups = " ".join(iban[n : n + 4] for n in range(0, len(iban), 4))
    for written in (iban, iban.lower(), groups):
        assert found(f"to {written} is it", "iban") == [written]
    assert found(iban[:-1] + ("1" if iban[-1] != "1" else "2"), "iban") == []


@pytest.mark.parametrize(
    "number",
    ["11010519491231002X", "11010519491231002x", "440524188001010014", "110105 19491231 002X"],
)
def test_residents_of_china_by_the_standards_examples(number: str) -> None:
    assert [each.kind for each in find(f"身份证{number}号", KINDS)] == ["id"]
    assert found(f"身份证{number}号") == [number]
    assert found("110105194912310021", "id") == []
    assert found("110105194913310020", "id") == []  # no month


@pytest.mark.parametrize("code", CREDIT_CODES)
def test_unified_social_credit_codes_in_one_and_in_groups(code: str) -> None:
    groups = " ".join((code[:2], code[2:8], code[8:17], code[17:]))
    for written in (code, code.lower(), groups):
        assert [each.kind for each in find(f"税号：{written}。", KINDS)] == ["uscc"]
        assert found(f"税号：{written}。") == [written]
    assert found(code[:-1] + ("1" if code[-1] != "1" else "2"), "uscc") == []


@pytest.mark.parametrize(
    "plate",
    ["京A12345", "粤B·D12345", "沪AD12345", "粤B12345D", "苏e 1234学", "鲁Q1234挂", "川a-7k8l9"],
)
def test_number_plates(plate: str) -> None:
    assert [each.kind for each in find(f"车牌{plate}，谢谢", KINDS)] == ["plate"]
    assert found(f"车牌{plate}，谢谢") == [plate]


def test_what_looks_like_a_number_plate_and_is_none() -> None:
    assert found("新ABCDE 云A股12345 京A123456789 晋级 桂ABC12 A12345", "plate") == []


def test_passports_of_china_by_their_form_and_others_by_their_name() -> None:
    text = "E12345678, EA1234567, G12345678 PE1234567"
    assert found(text, "passport") == ["E12345678", "EA1234567", "G12345678", "PE1234567"]
    assert found("passport no. C01X00T47; Passport: L898902C3; 护照号：123456789") == [
        "C01X00T47",
        "L898902C3",
        "123456789",
    ]
    assert (
        found("E1234567 G123456789 passport is valid 20261231, passport holders", "passport") == []
    )


def test_social_security_numbers() -> None:
    assert [each.kind for each in find("it is 078-05-1120", KINDS)] == ["ssn"]
    assert found("SSN 078051120; social security number: 219 09 9999") == [
        "078051120",
        "219 09 9999",
    ]
    assert found("000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000", "ssn") == []
    assert found("078051120 1-078-05-1120 078-05-1120-1", "ssn") == []


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "192.168.1.20", "2001:db8::8a2e:370:7334", "fe80::1"]
)
def test_addresses_of_machines(address: str) -> None:
    for text in (address, f"from {address}.", f"[{address}]:443", f"地址{address}：x"):
        assert found(text) == [address]


def test_what_looks_like_an_address_of_a_machine_and_is_none() -> None:
    text = "127.0.0.1 0.0.0.0 255.255.255.0 ::1 :: std::cout a::b 12:30:45 1.2.3.4.5 300.1.1.1 v1.2"
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "pi is 3.14159265358 and 3.141592653589793",
        "0.4850138972505375, at 1731234567, 1731234567890 and 2026-11-26T10:20:30.123456Z",
        "order 1234567890123456, 20261126, 1,234,567,890",
        "de9f2c7f-1b7a-4c5e-9a51-0f4f6a1b2c3d",
        "https://example.com/items/1234567890?page=2#L100-L200",
        "[EMAIL_1] <EMAIL_1> +1000 2 + 2 = 4",
    ],
)
def test_other_numbers_are_no_personal_data(text: str) -> None:
    assert found(text) == []


def test_of_what_is_two_things_it_is_one_and_no_character_is_in_two() -> None:
    text = "GB82WEST12345698765432 root@8.8.8.8.example.com 078-05-1120 +4917112345678"
    spans = find(text, KINDS)
    assert [each.kind for each in spans] == ["iban", "email", "ssn", "phone"]
    assert all(one.end <= other.start for one, other in pairwise(spans))


def test_where_numbers_stand_side_by_side_no_digit_of_any_is_left() -> None:
    row = "138 1234 5678 4242 4242 4242 4242"  # 5678 4242 4242 4242 may be a card as well
    for text in (
        row,
        f"+1 415 555 2671 {CARDS[1]}",
        f"{row} {row}",
        "4242424242424242 13812345678",
    ):
        left = list(text)
        for each in find(text, KINDS):
            left[each.start : each.end] = " " * (each.end - each.start)
        assert "".join(left).strip() == ""


def test_only_the_kinds_that_were_asked_for_are_found() -> None:
    text = "ada@example.com 13812345678 8.8.8.8"
    assert found(text, "phone") == ["13812345678"]
    assert find(text, ()) == []


ADVERSE = [
    "a", "1", "1 ", "1-", "1.", "138 ", "4444 ", "4242424242424242 ", "a@", "a@a.", "a.a@a.", "\\",
    "a(at)", "a (at) a.",
    "\\n", "GB82 ", "GB82WEST", "+1 ", "(415) ", ":a", "1::", "::", "tel ", "tel 1", "电话", "１",
    "'", "123-45-", "ssn ", "91", "91350100M", "91350100M000100Y43 ", "京", "京A", "京A1",
    "E1", "passport ",
    "护照", "ada@example.com ", "13812345678 ", "[EMAIL_", "0086", "\u200b",
]  # fmt: skip


@pytest.mark.parametrize("piece", ADVERSE)
def test_a_megabyte_of_whatever_takes_no_longer_than_its_length_says(piece: str) -> None:
    """Eight times the text would take 64 times as long, were anything looked at twice over."""

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        best = float("inf")
        for __ in range(3):
            begun = time.process_time()
            find(text, KINDS)
            best = min(best, time.process_time() - begun)
        return best

    small, large = seconds(125_000), seconds(1_000_000)
    assert large < 10
    assert large < 24 * max(small, 0.005)


def test_kinds_are_named_in_any_order_and_each_once() -> None:
    assert kinds_of("phone, email,phone") == ("email", "phone")
    assert (kinds_of("all"), kinds_of("none")) == (KINDS, ())
    for said in ("", "name", "email,x", "all,email"):
        with pytest.raises(ConfigError):
            kinds_of(said)
