"""Where the names of upstreams may lead."""

from __future__ import annotations

import random
import socket
from typing import Any

import aiohttp
import pytest
from tests.deliver.upstreams.test_gateway import Standing, of

from mintage.core.clock import SystemClock
from mintage.core.errors import NotReady
from mintage.deliver.upstreams.gateway import Gateway
from mintage.deliver.upstreams.lookup import careful


class Told(aiohttp.abc.AbstractResolver):
    """A resolver that says what it was told to say, and counts."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        self.asked += 1
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "168.63.129.16"]
)
async def test_a_name_that_leads_to_a_clouds_metadata_is_not_known(address: str) -> None:
    told = Told("10.0.0.7", address)
    with pytest.raises(OSError, match="keeps secrets"):
        await careful(told).resolve("models.example", 443)


async def test_ones_own_networks_and_this_machine_are_known() -> None:
    told = Told("10.0.0.7", "127.0.0.1", "fd12::1", "8.8.8.8")
    resolver = careful(told)
    found = await resolver.resolve("models.example", 443)
    assert [each["host"] for each in found] == list(told.addresses)
    await resolver.close()
    assert told.closed


async def test_an_upstream_whose_name_came_to_lead_there_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told("169.254.169.254")
    monkeypatch.setattr(aiohttp, "DefaultResolver", lambda: told)
    gateway = Gateway(Standing(of("http://models.example/v1")), SystemClock(), random.Random(1))
    body = {"model": "assistant", "messages": []}
    try:
        with pytest.raises(NotReady):
            await gateway.ask("assistant", "chat/completions", body, streams=False, large=False)
        assert told.asked
    finally:
        await gateway.close()
