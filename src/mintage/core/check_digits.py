"""Check digits: whether a number can be one that was issued, by the digits that tell."""

from __future__ import annotations

# The sum of the digits of twice a digit.
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))

# The letters of a unified social credit code: none that looks like a digit or like another.
_CREDIT_CODE = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def is_card(digits: str) -> bool:
    """Whether the last digit of a payment card's fits the others (Luhn; ISO/IEC 7812-1, B)."""
    data = digits.encode("ascii")
    single, double = data[-1::-2], data[-2::-2].translate(_DOUBLED)
    return (sum(single) - ord("0") * len(single) + sum(double)) % 10 == 0


def is_iban(number: str) -> bool:
    """Whether the check digits of an account's, without spaces, fit (ISO 13616, MOD 97-10)."""
    moved = number[4:] + number[:4]
    return int("".join(str(int(each, 36)) for each in moved)) % 97 == 1


def resident_check_digit(number: str) -> str:
    """The 18th character of 公民身份号码 by the 17 before it (GB 11643-1999, MOD 11-2)."""
    total = sum(int(each) * pow(2, 17 - n, 11) for n, each in enumerate(number[:17]))
    return "0123456789X"[(1 - total) % 11]


def credit_code_check(code: str) -> str:
    """The 18th character of 统一社会信用代码 by the 17 before it (GB 32100-2015, MOD 31-3)."""
    total = sum(_CREDIT_CODE.index(each) * pow(3, n, 31) for n, each in enumerate(code[:17]))
    return _CREDIT_CODE[-total % 31]
