"""Texts that nobody wrote, with personal data that nobody has, to measure what is found of it.

Every value is made by the rules of its kind, check digits too, in the ways that people write it:
also in some that the detectors do not know, or the measurement would say nothing. Beside them stand
numbers that are no personal data: orders, moments, amounts, versions, parts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mintage.core.check_digits import credit_code_check, is_card, resident_check_digit
from mintage.trust.deidentify.detectors import Found

LANGUAGES: Final = ("en", "zh")

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_AREAS = ("110105", "310115", "440524", "510107", "330106", "420111")
_BINS = ("4", "51", "55", "2221", "34", "37", "6011", "62", "35")
_HOSTS = ("example.com", "mail.example.org", "example.com.cn", "uni.example.edu", "example.co.uk")
_FIRST = ("ada", "wang.wei", "j.o'neil", "li_na", "maria-jose", "x", "用户7", "m.müller")
_PROVINCES = "京沪粤苏浙川鲁湘渝闽"
_BANKS = {"DE": 18, "FR": 23, "NL": 14, "GB": 18}
"""Characters after the country's letters and the check digits."""


@dataclass(frozen=True)
class Example:
    """A text and the personal data in it, as ``find`` would give it."""

    text: str
    language: str
    planted: tuple[Found, ...]


def examples(count: int, seed: int) -> Iterator[Example]:
    """As many texts, by turns in each language; of four one has no personal data.

    The same seed gives the same texts.
    """
    chance = random.Random(f"synthetic texts {seed}")  # noqa: S311 - they are no secret
    kinds = tuple(_MAKERS)
    for number in range(count):
        language = LANGUAGES[number % len(LANGUAGES)]
        turn = number // len(LANGUAGES)
        if turn % 4 == 0:
            yield _without(chance, language)
        else:
            yield _with(chance, language, kinds[(turn - turn // 4 - 1) % len(kinds)])


def _with(chance: random.Random, language: str, kind: str) -> Example:
    value = chance.choice(_MAKERS[kind])(chance)
    name = chance.choice((*_NAMES[language][kind], ""))  # people do not always say what it is
    before, after = chance.choice(_AROUND[language])
    text = before + name + value
    place = len(text) - len(value)
    other = chance.choice(_OTHERS)(chance) if chance.random() < 0.5 else ""
    return Example(text + after + other, language, (Found(place, len(text), kind),))


def _without(chance: random.Random, language: str) -> Example:
    before, after = chance.choice(_AROUND[language])
    others = (chance.choice(_OTHERS)(chance) for __ in range(3))
    return Example(before + after.join(others) + after, language, ())


def _digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("0123456789", k=count))


def _grouped(text: str, sizes: tuple[int, ...], gap: str) -> str:
    parts, place = list[str](), 0
    for size in sizes:
        parts.append(text[place : place + size])
        place += size
    return gap.join(parts)


def _wide(text: str) -> str:
    """As an input method for Chinese writes it."""
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text)


def _email(chance: random.Random) -> str:
    more = chance.choice(("", _digits(chance, 2), "+shop"))
    return f"{chance.choice(_FIRST)}{more}@{chance.choice(_HOSTS)}"


def _email_told(chance: random.Random) -> str:
    return _email(chance).replace("@", chance.choice((" at ", " (at) ", "[at]")))


def _mobile(chance: random.Random) -> str:
    return "1" + chance.choice("3456789") + _digits(chance, 9)


def _mobile_apart(chance: random.Random) -> str:
    sizes = chance.choice(((3, 4, 4), (3, 3, 5), (4, 4, 3)))
    return _grouped(_mobile(chance), sizes, chance.choice(" -."))


def _mobile_abroad(chance: random.Random) -> str:
    return chance.choice(("+86 ", "+86", "0086", "86-", "(86)")) + _mobile(chance)


def _landline(chance: random.Random) -> str:
    area = chance.choice(("010", "021", "0571", "0755"))
    gap = chance.choice(("-", " ", ""))
    return area + gap + chance.choice("2356788") + _digits(chance, 7)


def _american(chance: random.Random) -> str:
    area, mid = chance.choice("23456789") + _digits(chance, 2), "5" + _digits(chance, 2)
    last = _digits(chance, 4)
    apart = [f"{area}{gap}{mid}{gap}{last}" for gap in ("-", ".", " ", "")]
    return chance.choice((*apart, f"({area}) {mid}-{last}", f"+1 {area} {mid} {last}"))


def _european(chance: random.Random) -> str:
    country = chance.choice(("44 20 ", "49 30 ", "33 1 ", "34 91 "))
    return f"+{country}{_digits(chance, 4)} {_digits(chance, 4)}"


def _card(chance: random.Random) -> str:
    first = chance.choice(_BINS)
    length = 15 if first in ("34", "37") else chance.choice((16, 16, 19)) if first == "62" else 16
    body = first + _digits(chance, length - len(first) - 1)
    return next(body + each for each in "0123456789" if is_card(body + each))


def _card_apart(chance: random.Random) -> str:
    card = _card(chance)
    sizes = {15: (4, 6, 5), 16: (4, 4, 4, 4), 19: (4, 4, 4, 4, 3)}[len(card)]
    return _grouped(card, sizes, chance.choice((" ", "-", "  ")))


def _iban(chance: random.Random) -> str:
    country = chance.choice(tuple(_BANKS))
    letters = "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4))
    start = letters if country in ("NL", "GB") else ""
    account = start + _digits(chance, _BANKS[country] - len(start))
    number = int("".join(str(int(each, 36)) for each in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02}{account}"


def _iban_apart(chance: random.Random) -> str:
    iban = _iban(chance)
    return " ".join(iban[place : place + 4] for place in range(0, len(iban), 4))


def _resident(chance: random.Random) -> str:
    born = f"{chance.randint(1940, 2015)}{chance.randint(1, 12):02}{chance.randint(1, 28):02}"
    number = chance.choice(_AREAS) + born + _digits(chance, 3)
    return number + resident_check_digit(number)


def _resident_apart(chance: random.Random) -> str:
    return _grouped(_resident(chance), (6, 8, 4), chance.choice((" ", "-", "\n")))


def _credit_code(chance: random.Random) -> str:
    letters = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    code = chance.choice(("91", "92", "12", "52")) + chance.choice(_AREAS)
    code += "".join(chance.choices(letters, k=9))
    return code + credit_code_check(code)


def _plate(chance: random.Random) -> str:
    place, gap = (
        chance.choice(_PROVINCES) + chance.choice(_LETTERS[:8]),
        chance.choice(("", "·", " ")),
    )
    letters = chance.randint(0, 2)
    serial = [*chance.choices(_LETTERS, k=letters), *_digits(chance, 5 - letters)]
    chance.shuffle(serial)
    return place + gap + "".join(serial)


def _plate_electric(chance: random.Random) -> str:
    place = chance.choice(_PROVINCES) + chance.choice(_LETTERS[:8])
    return place + chance.choice("DF") + chance.choice(_LETTERS + "0123456789") + _digits(chance, 4)


def _passport(chance: random.Random) -> str:
    second = chance.choice((_digits(chance, 1), chance.choice(_LETTERS)))
    return f"E{second}{_digits(chance, 7)}"


def _passport_abroad(chance: random.Random) -> str:
    return chance.choice((_digits(chance, 9), f"C{_digits(chance, 8)}", f"X{_digits(chance, 7)}P"))


def _ssn(chance: random.Random) -> str:
    area = f"{chance.choice([n for n in range(1, 900) if n != 666]):03}"
    number = f"{area}{chance.randint(1, 99):02}{chance.randint(1, 9999):04}"
    return _grouped(number, (3, 2, 4), chance.choice(("-", "-", " ", "")))


def _ipv4(chance: random.Random) -> str:
    return ".".join(str(chance.randint(1, 223)) for __ in range(4)).replace("127.", "128.", 1)


def _ipv6(chance: random.Random) -> str:
    groups = [f"{chance.randint(1, 0xFFFF):x}" for __ in range(6)]
    return chance.choice((f"2001:db8:{':'.join(groups)}", f"2001:db8::{groups[0]}:{groups[1]}"))


_Maker = Callable[[random.Random], str]
_MAKERS: Mapping[str, tuple[_Maker, ...]] = {
    "email": (_email, _email, _email, lambda chance: _wide(_email(chance)), _email_told),
    "phone": (_mobile, _mobile_apart, _mobile_abroad, _landline, _american, _european),
    "card": (_card, _card_apart, lambda chance: _wide(_card(chance))),
    "iban": (_iban, _iban_apart, lambda chance: _iban(chance).lower()),
    "id": (_resident, _resident, _resident_apart, lambda chance: _wide(_resident(chance))),
    "uscc": (_credit_code, _credit_code, lambda chance: _credit_code(chance).lower()),
    "plate": (_plate, _plate_electric),
    "passport": (_passport, _passport_abroad),
    "ssn": (_ssn,),
    "ip": (_ipv4, _ipv6),
}
_OTHERS: tuple[_Maker, ...] = (
    lambda chance: f"2026-11-{chance.randint(1, 28):02} 10:{chance.randint(10, 59)}",
    lambda chance: f"17{_digits(chance, 11)}",
    lambda chance: f"order {_digits(chance, 12)}",
    lambda chance: f"订单{_digits(chance, 16)}",
    lambda chance: f"SF{_digits(chance, 13)}",
    lambda chance: f"{chance.randint(1, 999)},{_digits(chance, 3)}.{_digits(chance, 2)}",
    lambda chance: f"v{chance.randint(0, 9)}.{chance.randint(0, 99)}.{chance.randint(0, 99)}",
    lambda chance: f"{chance.random():.16f}",
    lambda chance: f"{chance.choice(_LETTERS)}{_digits(chance, 5)}-{_digits(chance, 3)}",
    lambda chance: f"第{chance.randint(1, 999)}章第{chance.randint(1, 99)}页",
    lambda chance: f"{_digits(chance, 8)}-{_digits(chance, 4)}",
    lambda chance: f"0x{chance.getrandbits(64):016x}",
    lambda chance: f"{chance.randint(1, 9)}:{_digits(chance, 2)}:{_digits(chance, 2)}",
    lambda chance: f"@{chance.choice(_FIRST)}",
)
_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "email": ("e-mail: ", "write to "),
        "phone": ("phone: ", "Tel. ", "call me on "),
        "card": ("card ", "credit card number: "),
        "iban": ("IBAN ", "account: "),
        "id": ("Chinese ID ", "ID number: "),
        "uscc": ("tax number ", "credit code: "),
        "plate": ("plate ", "my car, "),
        "passport": ("passport ", "passport no.: "),
        "ssn": ("SSN ", "social security number: "),
        "ip": ("from ", "address "),
    },
    "zh": {
        "email": ("邮箱：", "请发到"),
        "phone": ("电话：", "手机", "请打"),
        "card": ("卡号", "银行卡："),
        "iban": ("账户", "IBAN："),
        "id": ("身份证号：", "身份证"),
        "uscc": ("税号：", "统一社会信用代码"),
        "plate": ("车牌：", "车牌号"),
        "passport": ("护照号：", "护照"),
        "ssn": ("SSN：", "社会安全号码"),
        "ip": ("地址：", "来自"),
    },
}
_AROUND: Mapping[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("Hello, ", ". Thank you! "),
        ("Please change it to ", ", as I said on "),
        ('{"note": "', '"} '),
        ("- ", "\n"),
        ("<td>", "</td> "),
    ),
    "zh": (
        ("您好，", "，谢谢。"),
        ("麻烦改成", "，急！"),
        ('{"备注": "', '"} '),
        ("1、", "\n"),
        ("【", "】"),
    ),
}
