"""Where nothing may be sent, in whatever spelling."""

import pytest

from delivery.addresses import refusal_of, refusal_of_url

REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104  # looked at, not bound
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "169.254.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fc00::1",
    "fdff::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:7f00:1",
    "::ffff:0:0",
    "::127.0.0.1",
    "::10.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2002:c0a8:101::1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]
ALLOWED = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "::ffff:8.8.8.8",
]
LOOPBACK = ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """Private, loopback, link-local, shared, reserved, multicast, and what a gateway would take out of another."""
    assert refusal_of(address, allow_loopback=False) is not None


@pytest.mark.parametrize("address", ALLOWED)
def test_public_addresses_are_let_through(address: str) -> None:
    """Also an IPv4 one in IPv6's clothes, which the system connects to as such."""
    assert refusal_of(address, allow_loopback=False) is None


@pytest.mark.parametrize("address", REFUSED)
def test_loopback_alone_is_let_through_where_it_is_allowed(address: str) -> None:
    """The rest of the house stays shut."""
    loopback = address in {*LOOPBACK, "127.255.255.254", "::ffff:7f00:1"}
    assert (refusal_of(address, allow_loopback=True) is None) is loopback


@pytest.mark.parametrize(
    ("url", "fits", "locally"),
    [
        ("https://ops.example.com/hook?a=b", True, True),
        ("https://8.8.8.8/", True, True),
        ("https://10.0.0.1/", True, True),  # its address is looked at when we connect
        ("http://ops.example.com/", False, False),
        ("http://127.0.0.1:8099/", False, True),
        ("http://localhost/", False, True),
        ("http://app.localhost:1/", False, True),
        ("http://localhost.example.com/", False, False),
        ("http://[::1]:8099/", False, True),
        ("https://user:word@ops.example.com/", False, False),
        ("https://user@ops.example.com/", False, False),
        ("ftp://ops.example.com/", False, False),
        ("file:///etc/passwd", False, False),
        ("//ops.example.com/", False, False),
        ("https:///hook", False, False),
        ("https://[::1", False, False),
        ("https://x:99999/", False, False),
        ("", False, False),
    ],
)
def test_urls_are_looked_at_as_they_are_written(url: str, fits: bool, locally: bool) -> None:  # noqa: FBT001
    """By https, with no password that would be shown; plain http on this machine alone."""
    assert (refusal_of_url(url, allow_loopback=False) is None) is fits
    assert (refusal_of_url(url, allow_loopback=True) is None) is locally
