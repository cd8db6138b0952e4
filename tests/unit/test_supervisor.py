"""Telling systemd that we have started."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from paddock.world.supervisor import tell_ready


@pytest.mark.parametrize("abstract", [False, True])
def test_who_asked_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    place = f"@paddock-tried-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(5)
        systemd.bind(f"\0{place[1:]}" if abstract else place)
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        tell_ready()
        assert systemd.recv(100) == b"READY=1"
        assert "NOTIFY_SOCKET" not in os.environ, "what it starts has nothing to say there"
        tell_ready()
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    tell_ready()
