"""What is wrong with a file: that it is not there, is closed to us, or is a damaged zip."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path

from mintage.core.errors import DataError, said_by
from mintage.core.messages import _

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


def unreadable(location: Path, error: OSError) -> DataError:
    """The error for a location that the system does not let us read."""
    return DataError(
        _("{location} cannot be read: {reason}.", location=location, reason=said_by(error)),
        remedy=_("Check the path, and who may read it."),
    )


def refuse_missing(location: Path) -> None:
    """Refuse a path that leads nowhere, is longer than a path may be, or is closed to us.

    Raises:
        DataError: so it is.
    """
    try:
        location.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise DataError(
            _("{location} does not exist.", location=location), remedy=_("Check the path.")
        ) from error
    except OSError as error:
        raise unreadable(location, error) from error
