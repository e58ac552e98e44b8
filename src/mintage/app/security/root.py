"""``mintage doctor --security``: every weakness that is looked for, and what was mended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from mintage.app.audits_due import Due, doubts
from mintage.app.capturing import Capturing
from mintage.app.security.advisories import Advisories, installed_versions
from mintage.app.security.evidence import examine_bundles, examine_log
from mintage.app.security.keys import examine_api_keys, examine_signing_keys, of_findings
from mintage.app.security.permissions import examine_permissions
from mintage.app.security.sealing import examine_sealing
from mintage.app.security.serving import examine_peers, examine_settings
from mintage.app.security.weakness import SEVERITIES, Weakness
from mintage.capture.webhooks.endpoints import Endpoints
from mintage.core.files import readable_failures
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.core.settings import Settings
from mintage.deliver.upstreams.declarations import Upstreams
from mintage.store import inventory
from mintage.store.workspace import Workspace
from mintage.trust import audit, repository
from mintage.trust.keys import KeyRing


class Security:
    """Looks over a workspace, how it is served and what it stands on."""

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        keys: KeyRing,
        capture: Capturing,
        upstreams: Upstreams,
    ) -> None:
        self._workspace, self._settings, self._keys = workspace, settings, keys
        self._capture, self._upstreams = capture, upstreams

    def examine(
        self, advisories: Path | None = None, progress: Progress | None = None
    ) -> list[Weakness]:
        """Every weakness, the worst first; ``advisories`` is what ``Advisories.read`` reads.

        Raises:
            DataError: no advisory is there.
        """
        known = None if advisories is None else Advisories.read(advisories)
        found = self._weaknesses(known, progress or Silent())
        return sorted(found, key=lambda each: SEVERITIES.index(each.severity))

    def mend(self, found: Sequence[Weakness]) -> list[Weakness]:
        """Mend what a machine can, and log what was changed; those that were mended.

        Raises:
            MintageError: the system refuses; what was mended before is logged.
        """
        mended: list[Weakness] = []
        try:
            for each in found:
                if each.mend is not None:
                    with readable_failures(self._workspace.home):
                        each.mend.do()
                    mended.append(each)
        finally:
            if mended:
                self._log(mended)
        return mended

    def _log(self, mended: Sequence[Weakness]) -> None:
        changes = [
            {"code": each.code, "change": str(each.mend.change)} for each in mended if each.mend
        ]
        record = {"mended": changes, "mended_at": self._workspace.now()}

        def work(connection: repository.Connection) -> None:
            audit.append(connection, "security.mended", record)

        self._workspace.database.write(work)

    def _audits(self) -> Iterator[Weakness]:
        with self._workspace.database.read() as connection:
            standing = [Due.of(row) for row in inventory.audits_due(connection)]
        return of_findings(doubts(standing, self._workspace.now()))

    def _weaknesses(self, advisories: Advisories | None, progress: Progress) -> Iterator[Weakness]:
        workspace, keys, now = self._workspace, self._keys, self._workspace.clock.now()
        endpoints = Endpoints(workspace.database, keys, workspace.clock).list()
        upstreams = chain.from_iterable(self._upstreams.all().values())
        yield from examine_permissions(workspace.home, self._settings)
        yield from examine_signing_keys(keys, workspace.clock)
        yield from examine_api_keys(self._capture.customers)
        yield from examine_settings(self._settings, now)
        yield from examine_peers([each.url for each in endpoints], [each.url for each in upstreams])
        yield from examine_log(self._capture.log, progress)
        yield from examine_bundles(workspace, keys, progress)
        yield from examine_sealing(workspace)
        yield from self._audits()
        if advisories is None:
            yield Weakness(
                "advisories.none",
                "info",
                _("the versions of libraries were held against no advisories"),
                _("Give OSV records with --advisories FILE, such as osv.dev's all.zip of PyPI."),
            )
        else:
            yield from advisories.examine(installed_versions(), now)
