"""Telling systemd that we are of use, so that what waits for the unit to have started does not come too early."""

from __future__ import annotations

import contextlib
import os
import socket


def tell_ready() -> None:
    """As sd_notify(3) has it; nothing where nobody asked to be told."""
    place = os.environ.pop("NOTIFY_SOCKET", "")
    if not place:
        return
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told, contextlib.suppress(OSError):
        told.sendto(b"READY=1", address)
