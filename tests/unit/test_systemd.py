"""Units of systemd are written whole and taken away again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddock.main import systemd
from paddock.model.errors import UserError

UNIT = systemd.Unit(
    name="paddock-agent",
    description="Paddock agent",
    command=("/opt/paddock/bin/paddock", "agent", "run", "--data", "/var/lib/my data"),
    after=("network-online.target", "docker.service"),
    state_directory="paddock/agent",
)

TEXT = """\
[Unit]
Description=Paddock agent
Wants=network-online.target
After=network-online.target docker.service

[Service]
Type=exec
ExecStart=/opt/paddock/bin/paddock agent run --data '/var/lib/my data'
Restart=always
RestartSec=2
RestartPreventExitStatus=2
KillMode=process
TimeoutStopSec=30
LimitNOFILE=1048576
TasksMax=infinity
StateDirectory=paddock/agent
StateDirectoryMode=0700

[Install]
WantedBy=multi-user.target
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_text() -> None:
    assert systemd.unit_text(UNIT) == TEXT


@as_root
def test_written_and_removed(tmp_path: Path) -> None:
    file = systemd.install(UNIT, tmp_path, start=False)
    assert file.read_text() == TEXT
    systemd.install(UNIT, tmp_path, start=False)
    assert [each.name for each in tmp_path.iterdir()] == ["paddock-agent.service"]
    systemd.uninstall("paddock-agent", tmp_path, stop=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="not installed here"):
        systemd.uninstall("paddock-agent", tmp_path, stop=False)


@as_root
@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs this machine")
def test_without_systemd_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="systemd does not run this machine"):
        systemd.install(UNIT, tmp_path)
    assert list(tmp_path.iterdir()) == []
