"""Our server without key check, metering and receipts: the same routes behind an open gate.

Not a way to run it, and so no option of ``mintage serve``: it says what those cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from benchmarks.stopwatch import arguments


def main() -> None:
    asked = arguments(__doc__, "home", port=8000)
    from mintage.api.server import serve
    from mintage.app.root import App
    from mintage.cli.serving import service_of
    from mintage.core.money import Price
    from mintage.core.settings import load_settings
    from mintage.core.types import Permit, Receipt, Usage

    class OpenGate:
        """Lets everybody in, for nothing."""

        def authenticate(self, key: str | None, address: str | None = None) -> None:
            pass

        def admit(
            self,
            key: str | None,  # noqa: ARG002 - the protocol's
            product: str,
            address: str | None = None,  # noqa: ARG002
        ) -> Permit:
            return Permit("anyone", "none", product, "free", 1, {"image": Price("0", "EUR")}, "EUR")

    class NoMeter:
        """Forgets every call."""

        def record(self, usage: Usage) -> Future[Receipt]:  # noqa: ARG002 - the protocol's
            forgotten: Future[Receipt] = Future()
            forgotten.set_result(Receipt("none", "none", dict, "0", "EUR", final=True))
            return forgotten

        def record_all(self, usages: Sequence[Usage]) -> Future[list[Receipt]]:
            forgotten: Future[list[Receipt]] = Future()
            forgotten.set_result([self.record(usage).result() for usage in usages])
            return forgotten

    settings = load_settings(home=asked.home, port=asked.port, operator_port=0)
    with App(settings) as app:
        service = replace(service_of(app), gate=OpenGate(), meter=NoMeter())
        serve(service, on_started=lambda *__: None)


if __name__ == "__main__":
    main()
