"""Which addresses Debrief sends to: only those of the public internet, unless it is allowed more.

A URL that a person typed must never make this server talk to itself, to its neighbors or to a
cloud's metadata service (SSRF). What counts is the address that a socket is about to be connected
to: so it is checked there, by `guarded_socket`, where neither a redirect, nor a name that changes
its address between two look-ups, nor an odd spelling of a number comes past it.
"""

import re
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from .errors import Example, UserError

LOOK_UP_SECONDS = 3.0
"""How long saving an address waits for its name; a name that is not found in time is let pass."""

REFUSAL = "It is an address of this machine or of a private network"

_REFUSED_V4 = [
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
# Of IPv6 only global unicast is taken at all, and of that not what is set aside for protocols
# (Teredo among them), documentation and segment routing.
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = [IPv6Network(t) for t in ("2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16")]
_NAT64 = IPv6Network("64:ff9b::/96")

URL_LENGTH = 2000
_CONTROL = re.compile(r"[\x00-\x20\x7f]")

Resolve = Callable[[str], Sequence[str]]


class AddressRefused(OSError):
    """A connection to a private address was about to be made."""


class PrivateAddress(UserError):
    """The URL leads to an address that nothing is sent to."""

    code = "private_address"
    example = Example(
        "10.0.0.8 is a private or local address. To allow it, set "
        "WEBHOOK_ALLOW_PRIVATE_ADDRESSES on the server.",
        {"url": "Takes an address of the public internet."},
    )


def is_public(address: str) -> bool:
    """Whether it is an address of the public internet: IPv4, or IPv6 and the IPv4 inside it."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_public_v4(ip) if isinstance(ip, IPv4Address) else _is_public_v6(ip)


def _is_public_v4(ip: IPv4Address) -> bool:
    return not any(ip in network for network in _REFUSED_V4)


def _is_public_v6(ip: IPv6Address) -> bool:
    inside = ip.ipv4_mapped or ip.sixtofour
    if ip in _NAT64:
        inside = IPv4Address(int(ip) & 0xFFFFFFFF)
    if inside is not None:
        return _is_public_v4(inside)
    return ip in _GLOBAL_V6 and not any(ip in network for network in _REFUSED_V6)


def guarded_socket(addr_info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """A socket to connect to this resolved address: the ``socket_factory`` of an aiohttp connector.

    Raises AddressRefused, which the client reports as a connection that failed.
    """
    family, kind, protocol, _, sockaddr = addr_info
    if not settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES and not is_public(str(sockaddr[0])):
        raise AddressRefused(REFUSAL)
    return socket.socket(family=family, type=kind, proto=protocol)


_REMEDY = (
    "Nothing is sent there by default. To test on this machine, start Debrief with "
    "WEBHOOK_ALLOW_PRIVATE_ADDRESSES=on, for example: "
    "WEBHOOK_ALLOW_PRIVATE_ADDRESSES=on make run"
)


def check_url(url: str, *, resolve: Resolve | None = None) -> None:
    """Reject a URL that leads to a private address as far as that is known now.

    This is for the form in which a URL is typed: `guarded_socket` guards the requests themselves.
    Raises PrivateAddress. A name that can't be looked up passes.
    """
    if settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES:
        return
    host = urlsplit(url).hostname or ""
    for address in [host] if _is_literal(host) else (resolve or _look_up)(host):
        if not is_public(address):
            shown = host if host == address else f"{host} ({address})"
            raise PrivateAddress(
                f"{shown} is an address of this machine or of a private network. {_REMEDY}",
                {
                    "url": f"{shown} is not an address of the public internet. {_REMEDY}",
                },
            )


def url_problem(url: str) -> str:
    """Return why a text isn't the URL of a receiver of signed requests; empty where it is."""
    shown = url[:80]
    if len(url) > URL_LENGTH:
        return f"The URL is too long (maximum {URL_LENGTH:,} characters)."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"“{shown}” isn’t a URL."
    if parts.scheme not in {"http", "https"} or not host or _CONTROL.search(url):
        return f"“{shown}” must start with https:// or http://."
    if parts.username or parts.password:
        return "Remove the username and password from the URL. Requests are signed instead."
    if parts.fragment:
        return "Remove the fragment (#…). It isn’t sent."
    return ""


def _is_literal(host: str) -> bool:
    with suppress(ValueError):
        ip_address(host)
        return True
    return False


def _look_up(host: str) -> list[str]:
    """Return all addresses of a name, and of a number in any spelling (0x7f.1, 2130706433)."""
    found: list[str] = []

    def ask() -> None:
        with suppress(OSError, UnicodeError):
            rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.extend(str(row[4][0]) for row in rows)

    thread = threading.Thread(target=ask, name="look-up", daemon=True)
    thread.start()
    thread.join(LOOK_UP_SECONDS)
    return list(found)
