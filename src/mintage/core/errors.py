"""Every error that a user can meet, in one tree.

MintageError ─┬─ InputError    yours to mend       exit 2   HTTP 400 404 409 413 415 422
              │    ├─ DataError       the examples or files
              │    ├─ ConfigError     an option, recipe or setting
              │    └─ RequestError    a request over HTTP, or a name that does not exist
              ├─ TrustError    do not go on        exit 3   HTTP 403
              │    ├─ SignatureMismatch   what was signed is not what is here
              │    ├─ SealBroken          an encrypted thing does not open
              │    ├─ LogForked           the audit log contradicts itself
              │    └─ BooksBroken         money or usage does not add up
              ├─ AccountError  your account        exit 4
              │    ├─ Unauthenticated HTTP 401
              │    ├─ NotAllowed      HTTP 403
              │    ├─ QuotaReached    HTTP 429
              │    └─ PaymentDue      HTTP 402
              ├─ ServiceError  ours for now        exit 5   HTTP 503 504
              │    ├─ NotReady        nothing loaded yet, or it is going away
              │    ├─ Overloaded      more work than can be queued
              │    └─ DependencyDown  something we stand on does not answer
              └─ Bug           ours, unforeseen    exit 1   HTTP 500
"""

from __future__ import annotations

from typing import ClassVar

from mintage.core.messages import Message, _, current, told


class MintageError(Exception):
    """The root: says what was wrong and what was got, and carries what to do next."""

    code: ClassVar[str] = "mintage_error"
    exit_status: ClassVar[int] = 1
    default_http_status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        http_status: int | None = None,
        retry_after_seconds: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.http_status = http_status or self.default_http_status
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id

    def __str__(self) -> str:
        """In the reader's language; ``message`` and ``remedy`` themselves are English."""
        said, remedy = told(self.message), told(self.remedy)
        if remedy and said[-1:] not in ".!?。！？":
            said += "。" if current() == "zh" else "."
        return f"{said} {remedy}".strip()


class InputError(MintageError):
    """Something given to Mintage has to be mended by whoever gave it."""

    code = "input_error"
    exit_status = 2
    default_http_status = 400


class DataError(InputError):
    """The examples or files cannot be used as they are."""

    code = "data_error"
    default_http_status = 422


class ConfigError(InputError):
    """An option, a recipe or a setting is wrong."""

    code = "config_error"


class RequestError(InputError):
    """A request is malformed, or names something that does not exist."""

    code = "request_error"


class TrustError(MintageError):
    """What was promised cannot be confirmed, so nothing goes on."""

    code = "trust_error"
    exit_status = 3
    default_http_status = 403


class SignatureMismatch(TrustError):
    """What was signed is not what is here, or it was signed by an untrusted key."""

    code = "signature_mismatch"


class SealBroken(TrustError):
    """Something encrypted does not open under the key that it names."""

    code = "seal_broken"


class LogForked(TrustError):
    """The audit log contradicts what it said before."""

    code = "log_forked"


class BooksBroken(TrustError):
    """What is owed does not follow from what was recorded."""

    code = "books_broken"


class AccountError(MintageError):
    """The caller's account does not allow this."""

    code = "account_error"
    exit_status = 4
    default_http_status = 403


class Unauthenticated(AccountError):
    """No key, an unknown one, one that was revoked or has expired: all answered alike."""

    code = "unauthenticated"
    default_http_status = 401


class NotAllowed(AccountError):
    """A valid key without the right to this."""

    code = "not_allowed"


class QuotaReached(AccountError):
    """A rate or an included limit is used up."""

    code = "quota_reached"
    default_http_status = 429


class PaymentDue(AccountError):
    """Money is missing: a balance or an overdue invoice."""

    code = "payment_due"
    default_http_status = 402


class ServiceError(MintageError):
    """Mintage cannot do this now; the same request may succeed later."""

    code = "service_error"
    exit_status = 5
    default_http_status = 503


class NotReady(ServiceError):
    """Nothing is loaded yet, or the server is going away."""

    code = "not_ready"


class Overloaded(ServiceError):
    """More work than may be queued."""

    code = "overloaded"


class DependencyDown(ServiceError):
    """Something that Mintage stands on does not answer, or is not installed."""

    code = "dependency_down"


class Bug(MintageError):
    """Unforeseen: ours to mend. Carries an incident id that the log repeats."""

    code = "bug"


# What the system says, as ``OSError.strerror`` has it: for ``said_by``.
_("No such file or directory")
_("Permission denied")
_("Is a directory")
_("Not a directory")
_("File exists")
_("File name too long")
_("No space left on device")
_("Disk quota exceeded")
_("Read-only file system")
_("Input/output error")
_("Too many open files")
_("Too many levels of symbolic links")
_("Address already in use")
_("Cannot assign requested address")
_("Connection refused")


def said_by(error: OSError) -> Message:
    """The system's reason, as a message that can be told."""
    return Message(error.strerror or str(error))


def missing_extra(library: str, extra: str) -> DependencyDown:
    """Name the library that is not installed and the line that installs it."""
    return DependencyDown(
        _("This needs {library}, which is not installed.", library=library),
        remedy=_("Install it with: pip install 'mintage[{extra}]'", extra=extra),
    )
