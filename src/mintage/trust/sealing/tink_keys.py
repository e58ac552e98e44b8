"""Tink's primitives over keys of ours: AEAD for values, streaming AEAD for files."""

from __future__ import annotations

import io
from functools import cache, partial
from mmap import mmap
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar, cast

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from mintage.core.errors import missing_extra

if TYPE_CHECKING:
    from tink import aead, streaming_aead

T = TypeVar("T")
Sink: TypeAlias = io.BytesIO | io.FileIO
SECRET_BYTES = 32
SEGMENT_BYTES = 1 << 20
"""Of a sealed file: each is authentic in its place, and the last one as the last.

A stream of 20 MB is sealed in half of the time that segments of 65,536 bytes take.
"""
_TYPES = "type.googleapis.com/google.crypto.tink."


def demand() -> None:
    """Look whether Tink is there, before anything depends on it.

    Raises:
        DependencyDown: it is not installed.
    """
    _tink()


def derived(secret: bytes, use: str) -> bytes:
    """32 bytes for one use (RFC 5869, expand with SHA-256)."""
    return HKDFExpand(SHA256(), SECRET_BYTES, f"mintage/{use}".encode()).derive(secret)


def value_cipher(secret: bytes) -> aead.Aead:
    """AES-256-GCM."""
    tink = _tink()
    from tink import aead  # noqa: PLC0415 - an extra
    from tink.proto import aes_gcm_pb2  # noqa: PLC0415

    key = aes_gcm_pb2.AesGcmKey(version=0, key_value=derived(secret, "values"))
    return _primitive(tink, f"{_TYPES}AesGcmKey", key, aead.Aead)


def file_cipher(secret: bytes) -> streaming_aead.StreamingAead:
    """AES-256-GCM-HKDF-SHA256 in segments."""
    tink = _tink()
    from tink import streaming_aead  # noqa: PLC0415 - an extra
    from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2  # noqa: PLC0415

    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0, key_value=derived(secret, "files")
    )
    key.params.ciphertext_segment_size = SEGMENT_BYTES
    key.params.derived_key_size = SECRET_BYTES
    key.params.hkdf_hash_type = common_pb2.HashType.SHA256
    return _primitive(tink, f"{_TYPES}AesGcmHkdfStreamingKey", key, streaming_aead.StreamingAead)


def encrypt(
    cipher: streaming_aead.StreamingAead, data: bytes | mmap, context: bytes, sink: Sink
) -> None:
    """Write a stream's whole ciphertext, and close what it is written to.

    Raises:
        OSError: it cannot be written, such as to a full disk.
    """
    told = _Told(sink)
    try:
        with cipher.new_encrypting_stream(cast("BinaryIO", told), context) as stream:
            stream.write(data)
    except tink_error():
        if told.failure is not None:
            raise told.failure from None
        raise


class _Told(io.RawIOBase):
    """Passes on what Tink writes; of a failure Tink keeps no more than its name."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.failure: OSError | None = None

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """How much of it was taken."""
        try:
            return self._sink.write(data)
        except OSError as error:
            self.failure = error
            raise

    def close(self) -> None:
        """With what is behind it."""
        self._sink.close()
        super().close()


def decrypted(
    cipher: streaming_aead.StreamingAead, sealed: bytes, context: bytes, begin: int = 0
) -> bytes:
    """The whole content of a stream that begins at a place; ``sealed`` is not copied.

    Raises:
        TinkError: a byte of it, its length or its context is another.
    """
    source = io.BytesIO(sealed)
    source.seek(begin)
    with cast("io.BufferedReader", cipher.new_decrypting_stream(source, context)) as stream:
        # Not by its buffer, which asks for 8 kB at a time.
        return b"".join(iter(partial(stream.raw.read, SEGMENT_BYTES), b""))


class InMemory(io.BytesIO):
    """Tink closes what it writes to; this is read afterwards."""

    def close(self) -> None:
        """Not yet."""


def tink_error() -> type[Exception]:
    """What Tink raises."""
    found: type[Exception] = _tink().TinkError
    return found


def _primitive(tink: Any, kind: str, key: Any, primitive: type[T]) -> T:
    from tink import secret_key_access  # noqa: PLC0415
    from tink.proto import tink_pb2  # noqa: PLC0415

    data = tink_pb2.KeyData(
        type_url=kind,
        value=key.SerializeToString(),
        key_material_type=tink_pb2.KeyData.KeyMaterialType.SYMMETRIC,
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_data=data,
        status=tink_pb2.KeyStatusType.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.OutputPrefixType.RAW,
    )
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    found: T = handle.primitive(primitive)
    return found


@cache
def _tink() -> Any:
    try:
        import tink  # noqa: PLC0415 - an extra
        from tink import aead, streaming_aead  # noqa: PLC0415
    except ImportError as error:
        raise missing_extra("tink", "seal") from error
    aead.register()
    streaming_aead.register()
    return tink
