"""Signatures that no verifier may take, by Mintage's own check and by that of tools/verify.py.

The edges are made here, from the definitions of ECDSA (RFC 3279) and of Ed25519 (RFC 8032).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.the_tools import tool

from mintage.core.errors import TrustError
from mintage.trust.public_key import PublicKey

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256's group (SEC 2, 2.4.2)."""
L = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's (RFC 8032, 5.1)."""
MESSAGE = b"what was signed"


def taken(pem: bytes, signature: bytes, message: bytes) -> bool:
    """Whether both checkers take it; they have to agree."""
    ours = PublicKey.from_pem(pem).verify(signature, message)
    theirs = tool().Key(Path("any.pub"), pem).signed(signature, message)
    assert ours == theirs
    return ours


def pem_of(key: Any) -> bytes:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, info)
    return pem


def integer(number: int, *, pad: int = 0) -> bytes:
    """A whole number in DER; ``pad`` has it begin with so many zeros too many."""
    data = number.to_bytes(number.bit_length() // 8 + 1 + pad, "big")
    return bytes([2, len(data)]) + data


def sequence(*parts: bytes) -> bytes:
    data = b"".join(parts)
    return bytes([0x30, len(data)]) + data


def ecdsa_edges(r: int, s: int) -> Iterator[tuple[str, bytes]]:
    der = sequence(integer(r), integer(s))
    yield "r is 0", sequence(integer(0), integer(s))
    yield "s is 0", sequence(integer(r), integer(0))
    yield "both are 0", sequence(integer(0), integer(0))
    yield "r is the order", sequence(integer(ORDER), integer(s))
    yield "s is the order", sequence(integer(r), integer(ORDER))
    yield "the order more in r", sequence(integer(r + ORDER), integer(s))
    yield "the order more in s", sequence(integer(r), integer(s + ORDER))
    yield "a sign turned", sequence(integer(r), b"\x02\x01\xff")
    yield "r and s swapped", sequence(integer(s), integer(r))
    yield "a zero too many in r", sequence(integer(r, pad=1), integer(s))
    yield "a zero too many in s", sequence(integer(r), integer(s, pad=1))
    yield "a length in two bytes", b"\x30\x81" + der[1:]
    yield "a length without end", b"\x30\x80" + der[2:] + b"\0\0"
    yield "a third number", sequence(integer(r), integer(s), integer(1))
    yield "one number", sequence(integer(r))
    yield "something behind it", der + b"\0"
    yield "cut short", der[:-1]
    yield "empty", b""
    yield "not DER but r and s", r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_an_ecdsa_signature_has_one_encoding_and_numbers_within_the_order() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    pem = pem_of(key.public_key())
    assert taken(pem, signature, MESSAGE)
    assert not taken(pem, signature, MESSAGE + b".")
    r, s = decode_dss_signature(signature)
    for what, changed in ecdsa_edges(r, s):
        assert not taken(pem, changed, MESSAGE), what


def test_an_ed25519_signature_has_one_spelling_and_no_point_of_small_order() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    signature, pem = key.sign(MESSAGE), pem_of(key.public_key())
    assert taken(pem, signature, MESSAGE)
    point, s = signature[:32], int.from_bytes(signature[32:], "little")
    for what, changed in (
        ("the order more in s", point + (s + L).to_bytes(32, "little")),
        ("s is 0", point + bytes(32)),
        ("a neutral point", b"\x01" + bytes(31) + signature[32:]),
        ("all zeros", bytes(64)),
        ("cut short", signature[:-1]),
        ("something behind it", signature + b"\0"),
        ("empty", b""),
    ):
        assert not taken(pem, changed, MESSAGE), what


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.SECP224R1()], ids=lambda curve: curve.name)
def test_a_key_on_another_curve_is_no_key_here(curve: ec.EllipticCurve) -> None:
    pem = pem_of(ec.generate_private_key(curve).public_key())
    with pytest.raises(TrustError, match="Keys of this kind are not verified with"):
        PublicKey.from_pem(pem)
    with pytest.raises(tool().Refused, match="neither ECDSA on a NIST curve nor Ed25519"):
        tool().Key(Path("any.pub"), pem)
