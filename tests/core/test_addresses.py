"""Where Debrief sends nothing: addresses in all spellings, at the moment of the connection."""

import socket
from typing import Any

import pytest

from apps.core.addresses import (
    AddressRefused,
    PrivateAddress,
    check_url,
    guarded_socket,
    is_public,
)

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.8", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.7", "192.168.1.1",
    "198.18.0.1", "198.51.100.4", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1",
    "2001::1", "2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "100::1", "3fff::1", "5f00::1", "not an address", "",
]  # fmt: skip
TAKEN = [
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.167.0.1", "9.9.9.9",
    "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_of_machines_and_private_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", TAKEN)
def test_addresses_of_the_internet_are(address: str) -> None:
    assert is_public(address)


def info(address: str) -> tuple[Any, Any, int, str, tuple[Any, ...]]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, 6, "", (address, 443))


def test_a_socket_is_only_made_for_an_address_that_may_be_reached() -> None:
    guarded_socket(info("8.8.8.8")).close()
    with pytest.raises(AddressRefused):
        guarded_socket(info("127.0.0.1"))
    with pytest.raises(AddressRefused):
        guarded_socket(info("::ffff:10.0.0.1"))


def test_an_installation_may_allow_them(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    guarded_socket(info("127.0.0.1")).close()
    check_url("http://127.0.0.1:9000/hook")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/",
        "http://0x7f.1/", "http://017700000001/", "http://0/", "http://[::1]:8000/",
        "http://[::ffff:7f00:1]/", "http://localhost/", "http://LOCALHOST:80/x", "http://10.1/",
        "https://169.254.169.254/latest/meta-data/", "http://[fe80::1%25eth0]/",
    ],
)  # fmt: skip
def test_a_url_is_refused_in_every_spelling(url: str) -> None:
    with pytest.raises(PrivateAddress, match="private network") as refused:
        check_url(url)
    assert set(refused.value.fields) == {"url"}


def test_one_private_address_of_a_name_is_enough() -> None:
    with pytest.raises(PrivateAddress, match=r"inside\.example \(10\.0\.0\.8\)"):
        check_url("https://inside.example/", resolve=lambda host: ["8.8.8.8", "10.0.0.8"])


@pytest.mark.parametrize("found", [["8.8.8.8"], []])
def test_a_public_name_and_one_that_is_not_found_yet_are_let_pass(found: list[str]) -> None:
    check_url("https://outside.example/", resolve=lambda host: found)
