"""What the standard library raises for a damaged zip."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    RuntimeError,  # NotImplementedError of unknown methods among them
    OSError,
    EOFError,
    ValueError,
)
"""zipfile's own errors and its decompressors'; DataError is none of them."""
