<<<<<<< HEAD
"""Units of systemd are written whole and taken away again."""
=======
"""Units of systemd: what is written, and that systemd itself understands it."""
>>>>>>> guides

from __future__ import annotations

import os
<<<<<<< HEAD
=======
import shutil
import subprocess
>>>>>>> guides
from pathlib import Path

import pytest

from paddock.main import systemd
from paddock.model.errors import UserError

<<<<<<< HEAD
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
=======

def unit(data: Path | str, *words: str, confinement: str = systemd.SERVER) -> systemd.Unit:
    return systemd.Unit(
        name="paddock-tried", description="Tried", command=("/bin/true", *words), data=str(data), confinement=confinement
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="UNITS NOT WRITTEN: only root may install one")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="UNITS NOT VERIFIED: no systemd-analyze here")
@pytest.mark.parametrize("confinement", [systemd.SERVER, systemd.AGENT])
def test_systemd_understands_every_line(tmp_path: Path, confinement: str) -> None:
    file = tmp_path / "paddock-tried.service"
    file.write_text(systemd.unit_text(unit("/var/lib/paddock/tried", confinement=confinement)))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_ended_for_good_is_not_started_again() -> None:
    text = systemd.unit_text(unit("/var/lib/paddock/server"))
    assert "RestartPreventExitStatus=2\n" in text
    assert "KillMode=process\n" in text
    assert "StateDirectory=paddock/server\n" in text
    assert "StartLimitIntervalSec=0\n" in text


def test_data_elsewhere_can_be_written() -> None:
    server, agent = (systemd.unit_text(unit("/srv/my data", confinement=c)) for c in (systemd.SERVER, systemd.AGENT))
    assert 'ReadWritePaths="/srv/my data"\n' in server
    assert "StateDirectory" not in server
    # It would give the agent a file system of its own, and the engine would not see what the agent puts there.
    assert "ReadWritePaths" not in agent


def test_words_are_quoted_as_systemd_reads_them() -> None:
    text = systemd.unit_text(unit("/srv/x", "a b", "100%", "$HOME", 'say "it"', ""))
    assert 'ExecStart=/bin/true "a b" 100%% $$HOME "say \\"it\\"" ""\n' in text
    with pytest.raises(UserError):
        systemd.unit_text(unit("/srv/x", "two\nlines"))


@needs_root
def test_installed_and_taken_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = unit(tmp_path / "data")
    for _ in range(2):
        file = systemd.install(wanted, tmp_path, start=False)
    assert file.read_text() == systemd.unit_text(wanted)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "paddock-tried.service"]
    systemd.uninstall("paddock-tried", tmp_path, stop=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    with pytest.raises(UserError, match="not installed"):
        systemd.uninstall("paddock-tried", tmp_path, stop=False)
    assert "written" in capsys.readouterr().err


@needs_root
def test_a_relative_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absolute"):
        systemd.install(unit("data"), tmp_path, start=False)
>>>>>>> guides
    assert list(tmp_path.iterdir()) == []
