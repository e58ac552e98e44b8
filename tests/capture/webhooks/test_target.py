"""Where messages may go."""

from __future__ import annotations

from typing import Any

import pytest

from mintage.capture.webhooks.sender import Sender
from mintage.capture.webhooks.target import Target
from mintage.core.errors import ConfigError
from mintage.sources.guard import Guard


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",  # http elsewhere
        "http://10.0.0.1/hook",
        "http://127.0.0.1.example.org/hook",
        "http://[::ffff:10.0.0.1]/hook",
        "https://10.0.0.1/hook",  # not public
        "https://169.254.169.254/latest",
        "https://[fd00::1]/hook",
        "https://2130706433/hook",  # 127.0.0.1, to some
        "https://ada:secret@example.org/hook",
        "ftp://example.org/hook",
        "example.org/hook",
        "https://exa mple.org/",
        "",
    ],
)
def test_an_address_that_nothing_may_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Target.parse(url)
    assert refused.value.remedy
    assert "secret" not in str(refused.value)


def test_https_goes_anywhere_public_http_to_this_machine_and_private_where_it_is_said() -> None:
    assert not Target.parse("https://hooks.example.org/a?b=c").plain
    for local in ("http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:9/x"):
        assert Target.parse(local).plain
    assert Target.parse("http://localhost/x").address.port == 80
    assert Target.parse("https://10.0.0.1/hook", private=True).allow
    with pytest.raises(ConfigError):
        Target.parse("http://10.0.0.1/hook", private=True)


@pytest.mark.parametrize("inside", ["10.1.2.3", "127.0.0.1", "169.254.169.254", "::1"])
def test_a_public_name_that_leads_inside_is_not_called(inside: str, receiver: Any) -> None:
    sender = Sender(Guard(resolve=lambda _host, _port: [inside]))
    came = sender.post(Target.parse("https://hooks.example.org/"), b"{}", {})
    assert came.status is None
    assert inside in came.said
    assert not receiver.heard


METADATA = ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200"]


@pytest.mark.parametrize("inside", METADATA)
def test_not_even_an_endpoint_of_ones_own_network_leads_to_a_clouds_metadata(
    inside: str, receiver: Any
) -> None:
    host = f"[{inside}]" if ":" in inside else inside
    with pytest.raises(ConfigError, match="not a public address"):
        Target.parse(f"https://{host}/latest", private=True)
    sender = Sender(Guard(resolve=lambda _host, _port: [inside]))
    came = sender.post(Target.parse("https://hooks.example.org/", private=True), b"{}", {})
    assert came.status is None
    assert "not a public address" in came.said
    assert not receiver.heard


def test_a_name_of_this_machine_that_leads_elsewhere_is_not_called() -> None:
    sender = Sender(Guard(resolve=lambda _host, _port: ["10.1.2.3"]))
    came = sender.post(Target.parse("http://localhost:9/"), b"{}", {})
    assert (came.status, "10.1.2.3" in came.said) == (None, True)
