"""The address of a client, also behind proxies that are named in TRUSTED_PROXIES."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address


def client_address(request: HttpRequest) -> str:
    """Return the address that a request comes from; empty where the server knows none.

    This is the address of the connection. If that is a trusted proxy, it is the right-most
    address of `X-Forwarded-For` that isn't one: the client wrote the addresses to its left.
    """
    peer = _parsed(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return ""
    hops = request.headers.get("X-Forwarded-For", "").split(",")
    found = peer
    while _is_trusted(found) and hops:
        hop = _parsed(hops.pop())
        if hop is None:
            break
        found = hop
    return str(found)


def network_of(address: str) -> str:
    """Return what one client can choose addresses from: of IPv6 its network of 64 bits."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return address


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _parsed(text: str) -> Address | None:
    """Read an address as proxies write it: with a port, in brackets, as IPv4 within IPv6."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
