"""Where an upstream's key is: in the environment or a private file, and never here."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from mintage.core.errors import ConfigError
from mintage.core.messages import _

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BYTES = 10_000
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Secret:
    """``reference`` is ``env:NAME``, ``file:PATH``, or empty where the upstream asks for no key."""

    reference: str = ""

    @classmethod
    def at(cls, variable: str | None, path: Path | None) -> Secret:
        """The one that was named, if any.

        Raises:
            ConfigError: both, or no name of a variable.
        """
        if variable is not None and path is not None:
            raise ConfigError(
                _("An upstream's key is in a variable or in a file, not in both."),
                remedy=_("Say --secret-env or --secret-file."),
            )
        if path is not None:
            return cls(f"file:{path.absolute()}")
        if variable is None:
            return cls()
        if not _VARIABLE.fullmatch(variable):
            # What was typed may be the key itself, so it is not said again.
            raise ConfigError(
                _("That is not the name of an environment variable."),
                remedy=_("Write the variable's name, such as UPSTREAM_KEY, not the key itself."),
            )
        return cls(f"env:{variable}")

    def read(self) -> SecretStr | None:
        """The key as it is now; None where none is asked for.

        Raises:
            ConfigError: it is not there, or others can read it.
        """
        kind, __, place = self.reference.partition(":")
        if kind == "env":
            found = os.environ.get(place, "").strip()
            if not found:
                raise ConfigError(
                    _("The environment variable {name} is not set.", name=place),
                    remedy=_("Set it to the upstream's key where the server starts."),
                )
        elif kind == "file":
            found = _private_text(Path(place))
        else:
            return None
        if not (found.isascii() and found.isprintable()):
            raise ConfigError(_("What {place} holds cannot be a key.", place=place))
        return SecretStr(found)


def _private_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise ConfigError(
                    _("{path} can be read by others.", path=path),
                    remedy=_("Make it yours alone: chmod 600 {path}", path=path),
                )
            found = file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(
            _("{path} cannot be read: {reason}.", path=path, reason=error.strerror)
        ) from error
    text = found.decode(errors="replace").strip()
    if not text:
        raise ConfigError(_("{path} is empty.", path=path))
    return text
