"""Reading an upload: counted while it is read, kept in memory, never on disk."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from mintage.api.encodings import CODINGS, TooLarge, decompressed
from mintage.api.heads import header
from mintage.api.intake import PLACE, Intake, Place, too_slow
from mintage.api.middleware import WHOLE_BODY
from mintage.core import canonical
from mintage.core.errors import RequestError
from mintage.core.messages import Message, _

T = TypeVar("T")
_READ_SECONDS = 60.0
_DECODED_INLINE_BYTES = 262_144  # 1 ms of JSON and base64; above that a thread decodes
_MOST_PARTS = 16
_MOST_HEADER_BYTES = 8192  # of one part
_MOST_JSON_VALUES = 10_000
_SLICE_BYTES = 65_536  # the parser calls back at least once a slice, so limits hold early
_FRAMING_BYTES = 65_536  # boundaries, headers and small fields around a picture
_JSON = "application/json"
_MULTIPART = "multipart/form-data"
_REMEDY_JSON = _("Send one JSON object in UTF-8 with the picture's bytes in base64.")
_RAW = "application/octet-stream"
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff")
"""Content types of pictures that are read."""
_KINDS = frozenset(
    (
        _RAW,
        _JSON,
        _MULTIPART,
        *PICTURES,
        "image/jpg",
        "image/pjpeg",
        "image/x-png",
        "image/x-ms-bmp",
    )
)
# What a body takes while it is read, in its own bytes: its parts and the whole; what was taken out
# of a form; the text, its bytes and what base64 stood for.
_AS_IT_IS, _FORM_COPIES, _JSON_COPIES = 2, 4, 5


async def read_upload(request: Request, most_bytes: int) -> bytes:
    """The uploaded picture's bytes, from a raw body, a multipart ``file`` or JSON.

    Raises:
        RequestError: too large (413), another content type (415), too slow (408), malformed (400).
    """
    kind, options = content_type(request)
    if kind == _MULTIPART:
        body = await _form(request, most_bytes)
        data = await _decoded(body, partial(_file_of, boundary=options.get(b"boundary", b"")))
    elif kind == _JSON:
        data = await read_json(request, most_bytes, lambda body: _image_of(json_object(body)))
    else:
        return await _body(request, most_bytes, most_bytes, _AS_IT_IS)
    if len(data) > most_bytes:
        raise too_large(most_bytes)
    return data


async def read_uploads(request: Request, most_bytes: int, most: int) -> list[bytes]:
    """Several pictures of one body: multipart parts named ``file``, or JSON ``images``.

    Raises:
        RequestError: none, or more than ``most`` (400); together too large (413); another content
            type (415), too slow (408), malformed (400).
    """
    kind, options = content_type(request)
    if kind == _MULTIPART:
        body = await _form(request, most_bytes)
        boundary = options.get(b"boundary", b"")
        files = await _decoded(body, partial(_files_of, boundary=boundary, most=most))
    elif kind == _JSON:
        files = await read_json(request, most_bytes, lambda body: _images_of(json_object(body)))
    else:
        raise _unsupported(
            _("Several pictures are no body of type {media_type!r}.", media_type=kind[:80])
        )
    if not 1 <= len(files) <= most:
        raise RequestError(
            _("There are {count} pictures in the body.", count=len(files)),
            remedy=_("Send 1 to {most}.", most=most),
        )
    if sum(map(len, files)) > most_bytes:
        raise too_large(most_bytes)
    return files


def content_type(request: Request) -> tuple[str, dict[bytes, bytes]]:
    """The body's content type, in lower case, and its options.

    Raises:
        RequestError: it is none that an upload may have, or one compressed in a way that is not
            read (415).
    """
    encoding = _coding(request)
    if encoding not in ("identity", *CODINGS):
        raise _unsupported(
            _("A body compressed with {encoding!r} is not read.", encoding=encoding[:20])
        )
    found, options = parse_options_header(header(request.scope, b"content-type") or _RAW)
    kind = found.decode("latin-1").lower()
    if kind not in _KINDS:
        raise _unsupported(_("A body of type {media_type!r} is not read.", media_type=kind[:80]))
    return kind, options


def placed(request: Request, intake: Intake, *, most_bytes: int, most_calls: int) -> Place:
    """A place for a call whose body has at most so many bytes, to be held until its end.

    Raises:
        Overloaded: too many calls or bytes are in flight.
    """
    announced = header(request.scope, b"content-length") or ""
    size = int(announced) if announced.isdecimal() else most_bytes
    place = intake.place(size, most_calls)
    request.scope["state"][PLACE] = place
    return place


async def read_json(request: Request, most_bytes: int, take: Callable[[bytes], T]) -> T:
    """What ``take`` finds in a body of JSON with a picture of at most ``most_bytes`` as base64.

    Raises:
        RequestError: too large (413), or what ``take`` raises.
    """
    body = await _body(request, most_bytes, _most_json_bytes(most_bytes), _JSON_COPIES)
    return await _decoded(body, take)


async def read_document(request: Request, most_bytes: int) -> bytes:
    """A body of JSON in which no picture is looked for, as it came.

    Raises:
        RequestError: too large (413), another content type (415), too slow (408).
    """
    kind, __ = content_type(request)
    if kind not in (_JSON, _RAW):
        raise RequestError(
            _("A body of type {media_type!r} is not read.", media_type=kind[:80]),
            remedy=_("Send JSON with 'Content-Type: application/json'."),
            http_status=415,
        )
    return await _body(request, most_bytes, most_bytes, _JSON_COPIES)


async def _form(request: Request, most_bytes: int) -> bytes:
    return await _body(request, most_bytes, most_bytes + _FRAMING_BYTES, _FORM_COPIES)


async def _decoded(body: bytes, decode: Callable[[bytes], T]) -> T:
    if len(body) < _DECODED_INLINE_BYTES:
        return decode(body)
    return await asyncio.to_thread(decode, body)


def _most_json_bytes(most_bytes: int) -> int:
    return most_bytes * 4 // 3 + _FRAMING_BYTES


def _images_of(document: dict[str, Any]) -> list[bytes]:
    given = document.get("images")
    if not isinstance(given, list):
        raise RequestError(
            _("The field {field!r} is not a list.", field="images"),
            remedy=_('Send {{"images": ["...", "..."]}} with the pictures\' bytes in base64.'),
        )
    return [decode_base64(each, "images") for each in given]


def _image_of(document: dict[str, Any]) -> bytes:
    return decode_base64(document.get("image"), "image")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        RequestError: it is none, or one of more values than a picture's has (400).
    """
    # 13 million numbers keep the interpreter's lock for 1 s in whatever thread; base64 has no such.
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_JSON_VALUES:
        raise RequestError(
            _("The body is JSON of more values than a picture's."),
            remedy=_("Send the picture's bytes in base64, as one string."),
        )
    try:
        document = canonical.read_json(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(_("The body is not JSON."), remedy=_REMEDY_JSON) from error
    if not isinstance(document, dict):
        raise RequestError(_("The body is JSON, but not an object."), remedy=_REMEDY_JSON)
    return document


async def _body(request: Request, most_bytes: int, limit: int, copies: int) -> bytes:
    """The whole body, unpacked, if it has at most ``limit`` bytes; ``most_bytes`` is what is told.

    ``copies`` is how often it will be in memory at once: of so many bytes its place takes account.

    Raises:
        Overloaded: there is no room for it, or too many are as slow.
        RequestError: more came, is announced or is in it (413); it took longer than a minute (408);
            it is not compressed as it says (400).
    """
    body = await _as_sent(request, most_bytes, limit, copies)
    coding = _coding(request)
    if coding == "identity":
        return body
    place: Place = request.scope["state"].get(PLACE) or Place(0)
    place.grows(len(body) + copies * limit)  # whatever it becomes
    try:
        body = await asyncio.to_thread(decompressed, body, coding, limit)
    except TooLarge as error:
        raise too_large(most_bytes) from error
    except ValueError as error:
        raise RequestError(
            _("The body is not {encoding!r}, as it says.", encoding=coding),
            remedy=_("Compress it as 'Content-Encoding' says, or send it as it is."),
        ) from error
    place.holds(copies * len(body))
    return body


def _coding(request: Request) -> str:
    return (header(request.scope, b"content-encoding") or "identity").lower()


async def _as_sent(request: Request, most_bytes: int, limit: int, copies: int) -> bytes:
    announced = header(request.scope, b"content-length") or ""
    if announced.isdecimal() and int(announced) > limit:
        raise too_large(most_bytes)
    whole: bytes | None = give() if (give := request.scope["state"].get(WHOLE_BODY)) else None
    if whole is not None:  # by far the most: nothing is waited for
        if len(whole) > limit:
            raise too_large(most_bytes)
        return whole
    parts, size = [], 0
    place: Place = request.scope["state"].get(PLACE) or Place(0)
    try:
        async with asyncio.timeout(_READ_SECONDS) as in_time:
            with place.on_its_way(in_time):
                async for part in request.stream():
                    size += len(part)
                    if size > limit:
                        raise too_large(most_bytes)
                    place.grows(copies * size)
                    parts.append(part)
    except TimeoutError as error:
        if place.given_up:
            raise too_slow() from error
        raise RequestError(
            _("The upload took longer than {seconds:g} seconds.", seconds=_READ_SECONDS),
            remedy=_("Send a smaller picture, or over a faster line."),
            http_status=408,
        ) from error
    return b"".join(parts)


def decode_base64(text: object, field: str) -> bytes:
    """The bytes of a base64 string.

    Raises:
        RequestError: it is none.
    """
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise RequestError(
        _("The body has no field {field!r}.", field=field)
        if text is None
        else _("The field {field!r} is not a base64 string.", field=field),
        remedy=_('Send {{"{field}": "..."}} with the picture\'s bytes in base64.', field=field),
    )


def too_large(most_bytes: int) -> RequestError:
    """The refusal of an upload above the limit."""
    return RequestError(
        _("The upload is larger than {most_bytes:,} bytes.", most_bytes=most_bytes),
        remedy=_("Send a smaller picture."),
        http_status=413,
    )


def _unsupported(message: Message) -> RequestError:
    return RequestError(
        message,
        remedy=_(
            "Send a JPEG, PNG, WebP, BMP or TIFF picture itself with 'Content-Type: image/jpeg'"
            " (or its own type), as multipart field 'file', or as JSON {\"image\": base64}."
        ),
        http_status=415,
    )


def _file_of(body: bytes, boundary: bytes) -> bytes:
    """The one part named ``file``; python-multipart's own forms would spool it to disk."""
    files = _files_of(body, boundary, _MOST_PARTS)
    if len(files) != 1:
        raise RequestError(
            _("The form has {count} parts named 'file', not one.", count=len(files)),
            remedy=_("Send one picture a call: curl -F file=@cat.jpg ..."),
        )
    return files[0]


def _files_of(body: bytes, boundary: bytes, most: int) -> list[bytes]:
    """Every part named ``file``, of a form of at most ``most`` parts."""
    parts = _Parts(most)
    malformed = RequestError(
        _("The body is not well-formed multipart/form-data."),
        remedy=_("Let a library write the form: curl -F file=@cat.jpg ..."),
    )
    if not boundary:
        raise malformed
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        for start in range(0, len(body), _SLICE_BYTES):
            parser.write(body[start : start + _SLICE_BYTES])
        parser.finalize()
    except FormParserError as error:
        raise malformed from error
    if not parts.ended:
        raise malformed
    return [data for name, data in parts.found if name == b"file"]


class _Parts:
    """Collects a form's parts as (name, bytes); refuses forms that no picture needs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.found: list[tuple[bytes, bytes]] = []
        self.ended = False
        self._field = self._value = self._name = b""
        self._data: list[bytes] = []
        self._header_bytes = 0

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def _begin(self) -> None:
        if len(self.found) == self._most:
            raise RequestError(
                _("The form has more than {most_parts} parts.", most_parts=self._most),
                remedy=_("Send the picture alone.")
                if self._most == _MOST_PARTS
                else _("Send 1 to {most}.", most=self._most),
            )
        self._name, self._data, self._header_bytes = b"", [], 0

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += self._counted(data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._counted(data[start:end])

    def _counted(self, header: bytes) -> bytes:
        self._header_bytes += len(header)
        if self._header_bytes > _MOST_HEADER_BYTES:
            raise RequestError(
                _(
                    "A part of the form has more than {most_header_bytes:,} bytes of headers.",
                    most_header_bytes=_MOST_HEADER_BYTES,
                ),
                remedy=_("Send the picture alone."),
            )
        return header

    def _on_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._name = parse_options_header(self._value)[1].get(b"name", b"")
        self._field = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _end(self) -> None:
        self.found.append((self._name, b"".join(self._data)))

    def _all(self) -> None:
        self.ended = True
