"""An issued invoice followed by either checker, from the evidence that its customer would get."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from mintage.app.evidence import WorkspaceEvidence
from mintage.capture.books.evidence import InvoiceEvents
from mintage.capture.chain.archive import ArchivedEvidence
from mintage.capture.chain.checks import Chain
from mintage.core.files import write_parts
from mintage.trust.audit import AuditLog

TOOLS = Path(__file__).parents[2] / "tools"
ORIGIN = "example.com/log"


def tool(name: str) -> Any:
    """One of ``tools/``, which have nothing of our code."""
    if str(TOOLS) not in sys.path:
        sys.path.insert(0, str(TOOLS))
    return import_module(name)


def evidence(shop: Any, invoice: Any, folder: Path) -> Path:
    """The zip that the customer would get."""
    log = AuditLog(shop.database, shop.keys, ORIGIN)
    events = InvoiceEvents(shop.database, shop.keys, log, invoice)
    signed = shop.invoices.signed(invoice).data
    found = WorkspaceEvidence(shop.workspace, shop.keys, signed, invoice, events)
    path = folder / f"{invoice.number}.zip"
    write_parts(path, found.archived())
    return path


def walked(shop: Any, invoice: Any, folder: Path) -> Chain:
    """Both have to find that it holds, or both that it does not."""
    path = evidence(shop, invoice, folder)
    with ArchivedEvidence(path) as held:
        chain = Chain(held, shop.keys)
        chain.check()
    refusal = followed(shop, path)
    assert (refusal is None) == (chain.broken is None), (refusal, chain.broken)
    return chain


def followed(shop: Any, path: Path) -> str | None:
    """Why ``tools/verify_invoice.py`` refuses it, if it does."""
    verify, follower = tool("verify"), tool("verify_invoice")
    keys = [
        verify.Key(Path(f"{role}.pub"), shop.keys.signer(role).public_pem)
        for role in ("receipt", "log")
    ]
    try:
        follower.walk(path, keys, None)
    except verify.Refused as refused:
        return str(refused)
    return None
