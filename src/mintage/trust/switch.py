"""How whoever holds the log's former key comes to believe its new one."""

from __future__ import annotations

from mintage.core.errors import SignatureMismatch
from mintage.core.messages import _
from mintage.trust.key_list import KeyList
from mintage.trust.notes import key_id, key_ids, verify_note


def check_switches(keys: KeyList) -> None:
    """Every tree head in a list that says that a log's key changed must be signed by the new one.

    The key before it has signed it too, unless it was gone by then.

    Raises:
        SignatureMismatch: one is not, or was changed.
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
        origin, former = each.switch.partition("\n")[0], logs[number - 1].key
        verify_note(each.switch, each.key, origin)
        if key_id(origin, former) in key_ids(each.switch, origin):
            verify_note(each.switch, former, origin)
