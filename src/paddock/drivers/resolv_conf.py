"""The host's own resolvers, read again when their file changes."""

from __future__ import annotations

import ipaddress
from pathlib import Path

RESOLV_CONF = Path("/etc/resolv.conf")
SYSTEMD_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")
"""What systemd-resolved itself asks; the file in /etc then names only its stub on the loopback."""
MOST_RESOLVERS = 3
CHECK_EVERY_S = 2.0

Stamp = tuple[tuple[int, int, int], ...]


def read_resolvers(text: str) -> tuple[str, ...]:
    """Addresses of the nameserver lines, at most three as in resolv.conf(5), without loopback and link-local ones: a
    container's question must not come back to a stub, or to us."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ipaddress.ip_address(words[1])
        except ValueError:
            continue
        if not (address.is_loopback or address.is_link_local or address.is_unspecified) and words[1] not in found:
            found.append(words[1])
    return tuple(found[:MOST_RESOLVERS])


class Resolvers:
    """`current(now_s)` looks at the files at most every two seconds."""

    def __init__(self, path: Path = RESOLV_CONF, systemd_path: Path = SYSTEMD_RESOLV_CONF) -> None:
        self._paths = (path, systemd_path)
        self._stamp: Stamp = ()
        self._addresses: tuple[str, ...] = ()
        self._checked_s: float | None = None

    def current(self, now_s: float) -> tuple[str, ...]:
        if self._checked_s is not None and now_s - self._checked_s < CHECK_EVERY_S:
            return self._addresses
        self._checked_s = now_s
        stamp = tuple(_stamp(path) for path in self._paths)
        if stamp != self._stamp:
            self._stamp = stamp
            self._addresses = self._read()
        return self._addresses

    def _read(self) -> tuple[str, ...]:
        for path in self._paths:
            try:
                found = read_resolvers(path.read_text("utf-8", "replace"))
            except OSError:
                continue
            if found:
                return found
        return ()


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)
