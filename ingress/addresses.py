"""Decides who may connect, by the sender's address and an allow-list, through proxies that are trusted. Pure.

`X-Forwarded-For` is what anybody writes into it but for the part that trusted proxies add at its right end.
"""

import functools
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MAPPED_PREFIX_BITS = 96  # ::ffff:0:0/96 (RFC 4291 section 2.5.5.2)
# Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711, or brackets alone.
_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:]+))(?::[0-9]{1,5})?", re.ASCII)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse networks in CIDR notation, or single addresses, separated by commas.

    Raises:
        ValueError: one of them is not; the message says which.
    """
    networks = []
    for entry in (part.strip() for part in text.split(",")):
        if entry:
            try:
                networks.append(_unmapped(ipaddress.ip_network(entry)))
            except ValueError as error:
                raise ValueError(
                    f"{entry!r} is not a network such as 192.0.2.0/24 or 2001:db8::/32 ({error})"
                ) from None
    return tuple(networks)


def _unmapped(network: Network) -> Network:
    """The IPv4 network inside an IPv4-mapped one: addresses are compared unmapped, so this would never match."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_PREFIX_BITS:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - MAPPED_PREFIX_BITS))


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Says whom the ingress answers; an empty `allowed` admits everybody."""

    allowed: tuple[Network, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()

    def admits(self, peer: str | None, forwarded: Sequence[str]) -> bool:
        """Judge a request by its connection's address and its `X-Forwarded-For` lines, in order. Never raises."""
        if not self.allowed:
            return True
        client = client_address(peer, forwarded, self.trusted_proxies)
        return client is not None and _within(client, self.allowed)


EVERYBODY = AddressPolicy()


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """Find who sent the request: the peer, or behind trusted proxies the right-most address that is not one of them.

    None when that cannot be told: an entry that trusted proxies vouch for is no address.
    """
    client = parse_address(peer or "")
    hops = [hop for line in forwarded for hop in line.split(",")]
    while client is not None and hops and _within(client, trusted):
        client = _parse_hop(hops.pop())
    return client


@functools.lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """Parse an address, without its zone; IPv4 inside IPv6 is IPv4. None if it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _parse_hop(hop: str) -> Address | None:
    text = hop.strip(" \t")
    address = parse_address(text)
    if address is None and (match := _WITH_PORT.fullmatch(text)) is not None:
        address = parse_address(match[1] or match[2])
    return address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
