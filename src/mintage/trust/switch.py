"""How whoever holds the log's former key comes to believe its new one."""

from __future__ import annotations

from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.trust.key_list import KeyList
from mintage.trust.notes import SignedHead, verify_note
from mintage.trust.public_key import PublicKey


def switched(note: str, former: PublicKey, successor: PublicKey) -> SignedHead:
    """The tree head at which a log changed its key, once both are found to have signed it.

    Raises:
        SignatureMismatch: one of them did not, or it is no tree head.
    """
    origin = note.partition("\n")[0]
    head = verify_note(note, former, origin)
    verify_note(note, successor, origin)
    return head


def check_switches(keys: KeyList) -> None:
    """Every tree head in a list that says that a log's key changed must be signed by both.

    Raises:
        SignatureMismatch: one is not.
    """
    logs = [each for each in keys.keys if each.role == "log"]
    for number, each in enumerate(logs):
        if each.switch is None:
            continue
        if number == 0:
            raise SignatureMismatch(
                _("The first key of a log in this list says that it took over from another."),
                remedy=_("Ask whoever publishes the list."),
            )
        switched(each.switch, logs[number - 1].key, each.key)
