"""What a file is that is no picture of ours, by its first bytes, so that the remedy can be said."""

from __future__ import annotations

import codecs

from mintage.core import contents
from mintage.core.messages import _

ENDINGS = frozenset(
    {
        *(".gif", ".apng", ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".ico"),
        *(".svg", ".psd", ".eps", ".pdf", ".xcf", ".tga", ".ppm", ".pgm", ".pbm", ".exr", ".dcm"),
        *(".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef"),
    }
)
"""Of pictures that are not read: named with the remedy, never called stray."""

_MAGIC = {
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "PSD",
    b"\0\0\1\0": "ICO",
    b"%PDF-": "PDF",
    b"%!PS": "EPS",
    b"II*\0\x10\0\0\0CR": "RAW",  # Canon
    b"IIRO": "RAW",  # Olympus
    b"IIRS": "RAW",
    b"IIU\0": "RAW",  # Panasonic
    b"FUJIFILMCCD-RAW": "RAW",
}
# ISO/IEC 14496-12: the brands of a file stand behind "ftyp".
_BRANDS = {
    "AVIF": {b"avif", b"avis"},
    "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"},
    "RAW": {b"crx "},  # Canon's CR3
}
_LOOKED_AT = 1024
_DICOM_OFFSET = 128


def not_read(name: str) -> str:
    """The reason for a kind of picture that is known and not read."""
    return _("{format} is not read; convert it to JPEG or PNG", format=name)


def why_not(data: bytes) -> str:
    """Why these bytes, which no decoder of ours knows, are not read."""
    if what := _other(data):
        return _("not a JPEG, PNG, WebP, BMP or TIFF picture, but {what}", what=what)
    return _("not a JPEG, PNG, WebP, BMP or TIFF picture")


def picture_kind(data: bytes) -> str:
    """Which kind of picture it is that is not read, or ''."""
    head = data[:_LOOKED_AT]
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4]), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
        return next((name for name, own in _BRANDS.items() if brands & own), "")
    if head[_DICOM_OFFSET : _DICOM_OFFSET + 4] == b"DICM":
        return "DICOM"
    return "SVG" if _is_text(head) and b"<svg" in head.lower() else ""


def _other(data: bytes) -> str:
    head = data[:_LOOKED_AT]
    if packed := _packed(head):
        return packed
    if head[4:8] == b"ftyp" or head.startswith(b"\x1a\x45\xdf\xa3"):
        return _("a video; save single pictures of it")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return _("a pointer of Git LFS; fetch the files with: git lfs pull")
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return _("a web page; download the picture itself")
    if _is_text(head):
        return _("text")
    return ""


def _packed(head: bytes) -> str:
    if head.startswith(b"PK\x03\x04"):
        return _("a zip; unpack it first")
    if contents.is_tar(head):
        return _("a tar; unpack it first")
    return _("a pickle, which is never opened") if contents.is_pickle(head) else ""


def _is_text(head: bytes) -> bool:
    """Whether it is UTF-8 (the last character may be cut) without control characters."""
    try:
        text = codecs.getincrementaldecoder("UTF-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\n\r\f\ufeff" for character in text)
