"""Which addresses a message of ours may be sent to. Pure."""

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ipaddress.ip_network("::/96")  # an IPv4 address in IPv6's oldest clothes
_SITE_LOCAL: Final = ipaddress.ip_network("fec0::/10")  # IPv6's former private addresses
_LOCAL_NAMES: Final = ("localhost", ".localhost")


def refusal_of(address: str, *, allow_loopback: bool) -> str | None:
    """Why nothing may be sent to `address`, as it stands in a socket's address; None where it may."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if allow_loopback and _plain(found).is_loopback:
        return None
    unfit = any(not one.is_global or one.is_multicast or one in _SITE_LOCAL for one in (found, *_within(found)))
    return None if not unfit else f"{address} is no address of the public internet"


def refusal_of_url(url: str, *, allow_loopback: bool) -> str | None:
    """Why `url` can be no target, as far as its writing tells: its host's addresses are looked at when we connect."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "it is no https:// URL"
    if parts.username is not None or parts.password is not None:
        return "it holds a user or a password, which would be shown to whoever reads it"
    if parts.scheme == "http" and not (allow_loopback and _is_local(host)):
        return "it is plain http, which everyone on the way can read: use https"
    return None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == _LOCAL_NAMES[0] or host.endswith(_LOCAL_NAMES[1])


def _plain(address: Address) -> Address:
    """An IPv4 address that is written as IPv6, as what it is: the system connects to it as such."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _within(address: Address) -> Iterator[Address]:
    """Addresses that a gateway may take out of `address`."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _COMPATIBLE or any(address in network for network in _NAT64):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
