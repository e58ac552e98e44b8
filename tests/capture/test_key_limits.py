from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.key_limits import UNLIMITED, KeyLimits, end_of
from mintage.core.clock import timestamp
from mintage.core.errors import ConfigError, NotAllowed
from mintage.core.types import SCOPES

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def passes(limits: KeyLimits, address: str | None) -> bool:
    try:
        limits.check_address(address)
    except NotAllowed:
        return False
    return True


def test_nothing_said_is_everything_everywhere_and_for_ever() -> None:
    assert KeyLimits.asked(NOW) == UNLIMITED
    assert UNLIMITED.scopes == SCOPES
    for scope in SCOPES:
        UNLIMITED.check_scope(scope)
    UNLIMITED.check_product("anything")
    assert passes(UNLIMITED, None)
    assert not UNLIMITED.have_ended(datetime.max.replace(tzinfo=UTC))


def test_limits_are_read_back_from_their_row_as_they_were() -> None:
    limits = KeyLimits.asked(
        NOW,
        scopes=["usage", "predict", "usage"],
        products=["pets", "birds"],
        networks=["10.0.0.0/8", " 2001:db8::/32", "203.0.113.9"],
        expires="90d",
    )
    assert limits.scopes == ("predict", "usage")
    assert limits.networks == ("10.0.0.0/8", "2001:db8::/32", "203.0.113.9/32")
    assert limits.expires_at == timestamp(NOW + timedelta(days=90))
    assert KeyLimits.from_row(limits.to_row()) == limits
    assert KeyLimits.from_row(UNLIMITED.to_row()) == UNLIMITED


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"scopes": ["predict", "admin"]}, "'admin'"),
        ({"scopes": [""]}, "''"),
        ({"networks": ["10.0.0.1/8"]}, "10.0.0.1/8"),
        ({"networks": ["office"]}, "office"),
        ({"networks": [""]}, "''"),
        ({"products": [str(n) for n in range(101)]}, "not 101"),
    ],
)
def test_what_is_no_limit_is_refused_and_never_taken_for_none(said: dict, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as refused:
        KeyLimits.asked(NOW, **said)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("90d", "2027-02-21T12:00:00.000000Z"),
        ("30s", "2026-11-23T12:00:30.000000Z"),
        ("2027-01-31", "2027-01-31T00:00:00.000000Z"),
        ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00.000000Z"),
        ("2027-01-31t12:00:00.25+08:00", "2027-01-31T04:00:00.250000Z"),
    ],
)
def test_a_key_expires_after_a_while_or_at_a_moment(said: str, end: str) -> None:
    assert end_of(said, NOW) == end


@pytest.mark.parametrize(
    "said",
    [
        *("", "soon", "0d", "-1d", "2026-11-23", "2027-02-30", "20270131", "2027-W01-1"),
        *(
            "2027-01-31T12:00:00",
            "2027-01-31 12:00:00Z",
            "99999999999d",
            "9999-12-31T23:59:59-01:00",
        ),
    ],
)
def test_a_time_that_is_none_or_is_not_ahead_is_refused(said: str) -> None:
    with pytest.raises(ConfigError):
        end_of(said, NOW)


def test_the_moment_at_which_a_key_expires_is_not_its_last_but_the_first_without_it() -> None:
    limits = KeyLimits.asked(NOW, expires="1h")
    assert not limits.have_ended(NOW + timedelta(hours=1, microseconds=-1))
    assert limits.have_ended(NOW + timedelta(hours=1))


@given(
    network=st.ip_addresses().flatmap(
        lambda address: st.integers(0, address.max_prefixlen).map(
            lambda length: ipaddress.ip_network(f"{address}/{length}", strict=False)
        )
    ),
    address=st.ip_addresses(),
)
def test_an_address_passes_where_the_standard_library_finds_it_inside(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    limits = KeyLimits.asked(NOW, networks=[str(network)])
    meant = getattr(address, "ipv4_mapped", None) or address
    assert passes(limits, str(address)) is (meant in network)
    assert passes(limits, str(network[0])) or getattr(network[0], "ipv4_mapped", None)


def test_who_comes_by_ipv4_to_a_socket_of_ipv6_comes_from_the_same_network() -> None:
    limits = KeyLimits.asked(NOW, networks=["10.0.0.0/8", "::1"])
    assert passes(limits, "::ffff:10.1.2.3")
    assert passes(limits, "::1")
    assert not passes(limits, "::2")
    assert not passes(limits, "11.0.0.1")


@pytest.mark.parametrize("address", [None, "", "unknown", "10.0.0.1:80", "10.0.0.1" + " " * 5000])
def test_an_address_that_is_none_is_in_no_network(address: str | None) -> None:
    with pytest.raises(NotAllowed, match="an unknown address"):
        KeyLimits.asked(NOW, networks=["0.0.0.0/0"]).check_address(address)


def test_who_is_refused_learns_which_address_was_seen_and_what_is_lacking() -> None:
    limits = KeyLimits.asked(NOW, scopes=["usage"], products=["pets"], networks=["10.0.0.0/8"])
    with pytest.raises(NotAllowed, match=r"from 203\.0\.113\.9"):
        limits.check_address("203.0.113.9")
    with pytest.raises(NotAllowed, match="scope 'predict'"):
        limits.check_scope("predict")
    with pytest.raises(NotAllowed, match="not for the product 'birds'"):
        limits.check_product("birds")
    limits.check_product("pets")
