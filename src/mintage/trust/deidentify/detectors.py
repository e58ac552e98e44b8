"""Where personal data is in a text: by form, and by check digits where there are any.

No model is asked and nothing is downloaded. Each pattern takes time in proportion to the text: what
repeats is bounded, or cannot be taken back. What is found has no quote, no backslash and no control
character in it, so that it is the same inside JSON as outside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from mintage.core.check_digits import credit_code_check, is_card, is_iban, resident_check_digit
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.trust.deidentify.plain import plain

KINDS: Final = (
    "email",
    "phone",
    "card",
    "iban",
    "id",
    "uscc",
    "plate",
    "passport",
    "ssn",
    "ip",
)
"""E-mail addresses, telephone numbers, payment cards, bank accounts, resident identity numbers of
China, its unified social credit codes and number plates, passports, social security numbers of the
USA, addresses of IPv4 and IPv6."""


def kinds_of(said: str) -> tuple[str, ...]:
    """The kinds that a list such as ``email,phone`` names; ``all`` and ``none`` are lists, too.

    Raises:
        ConfigError: there is no such kind.
    """
    named = {each.strip() for each in said.split(",") if each.strip()}
    chosen = {"all": set(KINDS), "none": set[str]()}.get(said.strip(), named)
    unknown = sorted(chosen - set(KINDS))
    if unknown or not (named or chosen):
        raise ConfigError(
            _(
                "No kind of personal data that can be replaced: {kind!r}.",
                kind="".join(unknown[:1]),
            ),
            remedy=_("Say all, none, or some of {kinds}.", kinds=", ".join(KINDS)),
        )
    return tuple(each for each in KINDS if each in chosen)


class Found(NamedTuple):
    """Personal data between two places of a text."""

    start: int
    end: int
    kind: str


def find(text: str, kinds: Collection[str]) -> list[Found]:
    """All of these kinds, in the order of the text; no two have a character in common.

    Where one begins within another, such as in a row of groups of digits, all of both is one.
    """
    seen = plain(text)
    found = [
        (*span, rank)
        for rank, (kind, mark, pattern, is_one) in enumerate(_DETECTORS)
        if kind in kinds and mark in seen
        for span in _spans(pattern, is_one, seen)
    ]
    merged = list[tuple[int, int, int]]()
    for start, end, rank in sorted(found):
        if merged and start < merged[-1][1]:
            first, last, other = merged.pop()
            merged.append((first, max(last, end), min(rank, other)))
        else:
            merged.append((start, end, rank))
    return [Found(start, end, _DETECTORS[rank][0]) for start, end, rank in merged]


def _spans(
    pattern: re.Pattern[str], is_one: Callable[[re.Match[str]], bool], text: str
) -> Iterator[tuple[int, int]]:
    place = 0
    while match := pattern.search(text, place):
        if is_one(match):
            yield match.span("it")
        place = match.start() + 1  # another may begin within it


def _compact(match: re.Match[str]) -> str:
    return match["it"].replace(" ", "").replace("-", "").upper()


def _always(match: re.Match[str]) -> bool:  # noqa: ARG001 - as the others are called
    return True


def _is_card(match: re.Match[str]) -> bool:
    return is_card(_compact(match))


def _is_iban(match: re.Match[str]) -> bool:
    return is_iban(_compact(match))


def _is_resident(match: re.Match[str]) -> bool:
    number = _compact(match)
    return resident_check_digit(number) == number[-1]


def _is_credit_code(match: re.Match[str]) -> bool:
    code = _compact(match)
    return credit_code_check(code) == code[-1]


def _is_plate(match: re.Match[str]) -> bool:
    """Of the five characters that number a car at most two are letters, as they are given out."""
    return sum(map(str.isalpha, match["serial"] or "")) <= _MOST_LETTERS_OF_PLATE


def _is_named_passport(match: re.Match[str]) -> bool:
    if sum(map(str.isdigit, match["it"])) < _FEWEST_DIGITS_OF_PASSPORT:
        return False
    before = match.string[max(0, match.start() - _LONGEST_NAME) : match.start()]
    return _NAME_OF_PASSPORT.search(before) is not None


def _is_named_phone(match: re.Match[str]) -> bool:
    """Whether what stands before it says that it is one."""
    before = match.string[max(0, match.start() - _LONGEST_NAME) : match.start()]
    return _NAME_OF_PHONE.search(before) is not None


def _is_named_ssn(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - _LONGEST_NAME) : match.start()]
    return _NAME_OF_SSN.search(before) is not None


def _is_ipv4(match: re.Match[str]) -> bool:
    """None of this machine alone, and no mask, which are nobody's."""
    try:
        address = IPv4Address(match["it"])
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_reserved)


def _is_ipv6(match: re.Match[str]) -> bool:
    """Not ``a::b`` either, which is a name in many languages of programming."""
    try:
        address = IPv6Address(match["it"])
    except AddressValueError:
        return False
    named = not any(map(str.isdigit, match["it"]))
    return not (address.is_loopback or address.is_unspecified or named)


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


# Patterns begin with the characters that the first may be, and only then look back: so the search
# passes over all others at once (a twentieth of the time in prose).

# Letters of alphabets; what is written without spaces between words is not among them, since an
# address would begin with the words before it.
_LETTERS = "A-Za-z\xc0-\u024f\u0370-\u052f"
_LOCAL = f"{_LETTERS}0-9._%+'-"
_EMAIL = (
    rf"(?<![{_LOCAL}])[._%+'-]*+(?P<it>[{_LOCAL}]++"
    rf"@(?:[{_LETTERS}0-9-]{{1,63}}+\.){{1,8}}(?:xn--[A-Za-z0-9-]{{2,59}}|[{_LETTERS}]{{2,63}}))"
)

# As it is written for people alone.
_EMAIL_IN_WORDS = _EMAIL.replace("@", r" ?(?:\(at\)|\[at\]) ?", 1)

# How long the account numbers of each country are (the registry of ISO 13616).
_IBAN_LENGTHS = {
    15: "NO", 16: "BE BI", 18: "DK FI FK FO GL NL SD", 19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK", 21: "CH CR HR LI LV",
    22: "BG BH DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
    27: "DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_IBAN = (
    r"(?P<it>[A-Za-z](?<![A-Za-z0-9].)[A-Za-z]\d\d(?:"
    + "|".join(
        rf"(?<=(?i:{countries.replace(' ', '|')})\d\d)(?:[ -]?[A-Za-z0-9]){{{length - 4}}}"
        for length, countries in _IBAN_LENGTHS.items()
    )
    + r"))(?![A-Za-z0-9])"
)

_RESIDENT = (
    r"(?P<it>[1-9](?<!\d.)\d{5}(?P<gap>[ -]?)(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])"
    r"(?:0[1-9]|[12]\d|3[01])(?P=gap)\d{3}[\dXx])(?![A-Za-z0-9])"
)

_CREDIT_CODE = (
    r"(?P<it>[1-9ANYany](?<![A-Za-z0-9].)[1-59Aa](?P<gap>[ -]?)\d{6}(?P=gap)"
    r"[0-9A-HJ-NP-RTUWXYa-hj-np-rtuwxy]{9}(?P=gap)[0-9A-HJ-NP-RTUWXYa-hj-np-rtuwxy])(?![A-Za-z0-9])"
)

# A province, an office, and five characters, of cars with a battery six (GA 36-2018).
_PROVINCE = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_ON_PLATE = "A-HJ-NP-Za-hj-np-z"
_PLATE = (
    rf"(?P<it>[{_PROVINCE}][{_ON_PLATE}][ ·•・-]?"
    rf"(?:(?P<serial>[{_ON_PLATE}0-9]{{5}})|(?:[A-HJKa-hjk][{_ON_PLATE}0-9]\d{{4}}|\d{{5}}[A-HJKa-hjk])"
    rf"|[{_ON_PLATE}0-9]{{4}}[挂学警港澳]))(?![A-Za-z0-9])"
)
_MOST_LETTERS_OF_PLATE = 2

# As China gives them out: for all, by the offices of old, for those who travel on duty.
_PASSPORT = (
    r"(?P<it>[DEGPSdegps](?<![A-Za-z0-9].)"
    r"(?:(?<=[EGeg])\d|(?<=[Ee])[A-HJ-NP-Za-hj-np-z]|(?<=[DSPdsp])[Ee])\d{7})(?![A-Za-z0-9])"
)
_NAMED_PASSPORT = r"(?P<it>[A-Za-z0-9](?<![A-Za-z0-9].)[A-Za-z0-9]{6,8})(?![A-Za-z0-9])"
_FEWEST_DIGITS_OF_PASSPORT = 4
_NAME_OF_PASSPORT = re.compile(
    r"(?:(?<![a-z])passport(?:[ ._-]{0,2}(?:number|no|nr))?(?: is)?|护照(?:号码?)?|護照(?:號碼?)?)"
    r"[^0-9a-z\n]{0,8}$",
    re.IGNORECASE,
)

# In the groups that cards are embossed in, or in one. Which begin with 1, 7 or 8 are none that
# people pay with, but moments in milliseconds; those behind a point are parts of a number.
_FIRST_OF_CARD = r"[2-69](?<![\d+].)(?<!\d\..)"
_LONG_CARD = (
    rf"(?P<it>{_FIRST_OF_CARD}(?:\d{{3}}(?P<gap>[ -])(?:\d{{4}}(?P=gap)){{3}}\d{{3}}"
    r"|\d{5}[ -]\d{13}))(?!\d)"
)
_CARD = (
    rf"(?P<it>{_FIRST_OF_CARD}(?:\d{{12,18}}|\d{{3}}(?P<gap>[ -])(?:\d{{4}}(?P=gap)\d{{4}}(?P=gap)"
    r"\d{4}|\d{6}(?P=gap)\d{4,5})))(?!\d)"
)

_AREA = r"[0-8](?<![\d-].)\d\d(?<!000)(?<!666)"
_SSN = rf"(?P<it>{_AREA}(?P<gap>[ -])(?!00)\d\d(?P=gap)(?!0000)\d{{4}})(?!-?\d)"
_BARE_SSN = rf"(?P<it>{_AREA}\d{{6}})(?!-?\d)"
_NAME_OF_SSN = re.compile(r"(?<![a-z])(?:ssn|social security)[^\d\n]*$", re.IGNORECASE)

_INTERNATIONAL = r"(?P<it>[+0](?<![\w+.].)(?:(?<=\+)|(?<=0)0)[1-9](?:[ .()/-]{0,2}\d){7,14})(?!\d)"
_MOBILE = (  # of China
    r"(?P<it>[18](?<!\d.)(?<!\d\..)(?:(?<=1)|(?<=8)6[ -]?1)[3-9]\d(?:[ -]?\d{4}){2})(?!\d)"
)
_LANDLINE = (  # of China
    r"(?P<it>[(0](?<![\d.-].)(?:(?<=\()0\d{2,3}\) ?|(?<=0)\d{2,3}[ -])\d{3,4}[ -]?\d{4}"
    r"(?:(?:-|转|ext\.? ?)\d{1,6})?)(?!\d)"
)
_AMERICAN = (
    r"(?P<it>[(1-9](?<![\d.-].)"
    r"(?:(?<=1)[ .-](?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])|(?<=\()[2-9]\d\d\) ?|(?<=[2-9])\d\d[ .-])"
    r"[2-9]\d\d[ .-]\d{4})(?!\d)"
)
_NUMBER = r"(?P<it>[+(0-9](?<![\d+(].)(?<!\d[ .()/-].)\(?(?:[ .()/-]{0,2}\d){6,15})(?!\d)"
_LONGEST_NAME = 32
_NAME_OF_PHONE = re.compile(
    r"(?:(?<![a-z])(?:phone|telephone|tel|mobile|cell|fax|whatsapp)"
    r"(?:[ ._-]{0,2}(?:number|no))?(?: is)?"
    r"|电话|電話|手机|手機|座机|传真|傳真|微信|联系方式)[^0-9a-z\n]{0,8}$",
    re.IGNORECASE,
)

_IPV4 = r"(?P<it>\d(?<![\w.].)\d{0,2}(?:\.\d{1,3}){3})(?!\w|\.\d)"
_IPV6 = (
    r"(?P<it>[0-9A-Fa-f:](?<![\w:.].)(?:(?<=:):|[0-9A-Fa-f]{0,3}:)(?:[0-9A-Fa-f]{0,4}:){1,6}"
    r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{1,4})?)(?<!\w:)(?!\w|:[\w:])"
)

_DETECTORS: Final = (
    ("email", "@", _pattern(_EMAIL), _always),
    ("email", "(at)", _pattern(_EMAIL_IN_WORDS), _always),
    ("email", "[at]", _pattern(_EMAIL_IN_WORDS), _always),
    ("iban", "", _pattern(_IBAN), _is_iban),
    ("id", "", _pattern(_RESIDENT), _is_resident),
    ("uscc", "", _pattern(_CREDIT_CODE), _is_credit_code),
    ("card", "", _pattern(_LONG_CARD), _is_card),
    ("card", "", _pattern(_CARD), _is_card),
    ("ssn", "", _pattern(_SSN), _always),
    ("ssn", "", _pattern(_BARE_SSN), _is_named_ssn),
    ("phone", "", _pattern(_INTERNATIONAL), _always),
    ("phone", "1", _pattern(_MOBILE), _always),
    ("phone", "0", _pattern(_LANDLINE), _always),
    ("phone", "", _pattern(_AMERICAN), _always),
    ("phone", "", _pattern(_NUMBER), _is_named_phone),
    ("passport", "", _pattern(_PASSPORT), _always),
    ("passport", "", _pattern(_NAMED_PASSPORT), _is_named_passport),
    ("plate", "", _pattern(_PLATE), _is_plate),
    ("ip", ":", _pattern(_IPV6), _is_ipv6),
    ("ip", ".", _pattern(_IPV4), _is_ipv4),
)
"""Each looks at texts that have its mark; what several find is of the kind of the first."""
