"""The pure decision whose requests are answered at all."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.addresses import AddressPolicy, client_address, parse_networks

ALLOWED = parse_networks("192.0.2.0/24, 2001:db8:a::/48,198.51.100.7")
PROXIES = parse_networks("10.0.0.0/8,fd00::/8")
POLICY = AddressPolicy(ALLOWED, PROXIES)


def test_without_a_list_everybody_is_admitted() -> None:
    assert AddressPolicy().admits("203.0.113.9", [])
    assert AddressPolicy((), PROXIES).admits(None, ["junk"])


@pytest.mark.parametrize(
    ("peer", "forwarded"),
    [
        pytest.param("192.0.2.1", [], id="in a network"),
        pytest.param("198.51.100.7", [], id="a single address"),
        pytest.param("2001:db8:a::1", [], id="IPv6"),
        pytest.param("::ffff:192.0.2.1", [], id="IPv4 inside IPv6"),
        pytest.param("2001:db8:a::1%eth0", [], id="with a zone"),
        pytest.param("192.0.2.1", ["203.0.113.9"], id="a header from who is no proxy is not read"),
        pytest.param("192.0.2.1", ["junk"], id="not even when it is junk"),
        pytest.param("10.0.0.1", ["192.0.2.1"], id="behind a proxy"),
        pytest.param("10.0.0.1", ["192.0.2.1, 10.9.9.9"], id="behind two"),
        pytest.param("10.0.0.1", ["192.0.2.1", "10.9.9.9"], id="behind two, each with a line"),
        pytest.param("10.0.0.1", ["203.0.113.9, 192.0.2.1"], id="what the client wrote itself is not read"),
        pytest.param("10.0.0.1", ["junk, 192.0.2.1"], id="not even when it is junk, behind a proxy"),
        pytest.param("10.0.0.1", ["192.0.2.1:4711"], id="with a port"),
        pytest.param("fd00::1", ["[2001:db8:a::1]:4711"], id="IPv6 with a port"),
        pytest.param("fd00::1", ["[2001:db8:a::1]"], id="IPv6 in brackets"),
        pytest.param("::ffff:10.0.0.1", ["\t192.0.2.1 "], id="white space"),
    ],
)
def test_listed_senders_are_admitted(peer: str, forwarded: list[str]) -> None:
    assert POLICY.admits(peer, forwarded)


@pytest.mark.parametrize(
    ("peer", "forwarded"),
    [
        pytest.param("203.0.113.9", [], id="not listed"),
        pytest.param("203.0.113.9", ["192.0.2.1"], id="a header that anybody can write"),
        pytest.param("10.0.0.1", [], id="a proxy that forwards nobody, and is not listed itself"),
        pytest.param("10.0.0.1", ["192.0.2.1, 203.0.113.9"], id="the claim of a client behind a proxy"),
        pytest.param("10.0.0.1", ["192.0.2.1", "203.0.113.9"], id="the same in two lines"),
        pytest.param("10.0.0.1", ["192.0.2.1, junk"], id="a proxy's entry that is no address"),
        pytest.param("10.0.0.1", ["192.0.2.1,"], id="an empty entry"),
        pytest.param("10.0.0.1", [""], id="an empty header"),
        pytest.param("10.0.0.1", ["unknown"], id="unknown"),
        pytest.param("10.0.0.1", ["192.0.2.1:port"], id="a port that is none"),
        pytest.param("10.0.0.1", ["192.0.2.1;by=10.0.0.1"], id="another header's syntax"),
        pytest.param("10.0.0.1", ["192.0.2.\u0661"], id="digits of another script"),
        pytest.param("10.0.0.1", ["0300.0.2.1"], id="octal"),
        pytest.param("10.0.0.1", ["3221225985"], id="an integer"),
        pytest.param(None, [], id="no address at all"),
        pytest.param("", ["192.0.2.1"], id="an empty one"),
        pytest.param("/run/socket", ["192.0.2.1"], id="a socket's path"),
    ],
)
def test_others_are_refused(peer: str | None, forwarded: list[str]) -> None:
    assert not POLICY.admits(peer, forwarded)


@given(peer=st.one_of(st.none(), st.text()), forwarded=st.lists(st.text()))
def test_nothing_makes_it_raise_and_no_text_from_outside_the_list_is_admitted(
    peer: str | None, forwarded: list[str]
) -> None:
    if POLICY.admits(peer, forwarded):
        client = client_address(peer, forwarded, PROXIES)
        assert client is not None
        assert any(client in network for network in ALLOWED)


@given(written=st.lists(st.text(alphabet="0123456789abcdef.:, []%"), max_size=3), client=st.ip_addresses())
def test_what_a_client_writes_never_changes_who_it_is(
    written: list[str], client: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    alone = client_address("10.0.0.1", [str(client)], PROXIES)

    if alone is not None and not any(alone in network for network in PROXIES):
        assert client_address("10.0.0.1", [*written, str(client)], PROXIES) == alone


@pytest.mark.parametrize("text", ["192.0.2.0/33", "192.0.2.1/24", "localhost", "192.0.2.0/24 10.0.0.0/8", "::/129"])
def test_a_list_that_cannot_be_read_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a network such as"):
        parse_networks(text)


def test_ipv4_mapped_network_admits_its_ipv4_addresses() -> None:
    policy = AddressPolicy(allowed=parse_networks("::ffff:192.0.2.0/120"))

    assert policy.admits("192.0.2.7", [])
    assert policy.admits("::ffff:192.0.2.7", [])
    assert not policy.admits("192.0.3.7", [])
