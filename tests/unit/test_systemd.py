"""Units of systemd: what is written, and that systemd itself understands it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from paddock.main import systemd
from paddock.model.errors import UserError


def unit(data: Path | str, *words: str, confinement: str = systemd.SERVER) -> systemd.Unit:
    return systemd.Unit(
        name="paddock-tried",
        description="Tried",
        command=("/bin/true", *words),
        data=str(data),
        confinement=confinement,
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
    assert "Type=notify\n" in text
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
    assert list(tmp_path.iterdir()) == []
