"""What this machine is called and where it is reached: for the server's certificate and for join tokens."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from paddock.model.errors import Refused

_NOWHERE = ("192.0.2.1", 9)
"""Documentation range (RFC 5737): connecting a datagram socket sends nothing, it only chooses a source address."""


def certificate_names(given: tuple[str, ...]) -> tuple[str, ...]:
    """Given ones first, then what is found on the machine now."""
    hostname = socket.gethostname()
    return tuple(dict.fromkeys([*given, hostname, "localhost", "127.0.0.1", "::1", *local_addresses()]))


def own_address() -> str:
    """The address others most likely reach this machine by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_NOWHERE)
            return str(probe.getsockname()[0])
        except OSError:
            return next((found for found in local_addresses() if not found.startswith("127.")), "127.0.0.1")


def local_addresses() -> tuple[str, ...]:
    """IPv4 and global IPv6 addresses of this network namespace, sorted."""
    return tuple(sorted({*_ipv4(), *_ipv6()}))


def _ipv4() -> list[str]:
    found: list[str] = []
    last = ""
    for line in _lines_of("/proc/net/fib_trie"):
        words = line.split()
        if len(words) >= 2 and words[0] in ("|--", "+--"):
            last = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"]:
            found.append(last)
    return found


def _ipv6() -> list[str]:
    addresses = [
        ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))
        for line in _lines_of("/proc/net/if_inet6")
        if line.strip()
    ]
    return [str(address) for address in addresses if not address.is_link_local and not address.is_loopback]


def _lines_of(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def bound_socket(listen: str, port: int, option: str) -> socket.socket:
    """A listening socket; "" is every address, IPv6 too where there is any. Raises `Refused`."""
    try:
        found = _listening(listen, port)
    except OSError as error:
        raise Refused(
            f"port {port} of {listen or 'this machine'} cannot be opened: {error.strerror or error}",
            hint=f"end what holds it (`ss -ltnp`), or choose another with {option}",
        ) from error
    # Inherited by every accepted connection. asyncio itself forgets it for sockets made without a protocol number, and
    # each small answer then waits 40 ms for the peer's delayed acknowledgement.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def _listening(listen: str, port: int) -> socket.socket:
    if listen:
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        return socket.create_server((listen, port), family=family, backlog=1024)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    return socket.create_server(("", port), backlog=1024)
