"""Units of systemd: written, started, and taken away again."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from paddock.cli.output import say
from paddock.model.errors import Refused, UserError

FOLDER = Path("/etc/systemd/system")
TIMEOUT_S = 60.0


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """`restart_never_after`: exit codes after which coming back would not help."""

    name: str
    description: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ("network-online.target",)
    state_directory: str
    restart_never_after: tuple[int, ...] = (2,)


def unit_text(unit: Unit) -> str:
    """The process alone is stopped (`KillMode=process`): what it started, containers above all, lives on."""
    return f"""[Unit]
Description={unit.description}
Wants=network-online.target
After={" ".join(unit.after)}

[Service]
Type=exec
ExecStart={shlex.join(unit.command)}
Restart=always
RestartSec=2
RestartPreventExitStatus={" ".join(str(code) for code in unit.restart_never_after)}
KillMode=process
TimeoutStopSec=30
LimitNOFILE=1048576
TasksMax=infinity
StateDirectory={unit.state_directory}
StateDirectoryMode=0700

[Install]
WantedBy=multi-user.target
"""


def program() -> str:
    """This very program, by an absolute path, so that the unit does not depend on anybody's PATH."""
    found = shutil.which(sys.argv[0]) or shutil.which("paddock")
    if not found:
        raise UserError("cannot tell where `paddock` is installed", hint="install it with pipx or uv, and call it so")
    return os.path.abspath(found)


def install(unit: Unit, folder: Path = FOLDER, *, start: bool = True) -> Path:
    """Writes the unit, starts it now and with every boot. Doing it again takes over what changed."""
    _check_possible(folder, start=start)
    file = folder / f"{unit.name}.service"
    text = unit_text(unit)
    changed = not file.exists() or file.read_text() != text
    draft = file.with_suffix(".service.new")
    draft.write_text(text)
    draft.replace(file)
    if start:
        _systemctl("daemon-reload")
        _systemctl("enable", unit.name)
        _systemctl("restart" if changed else "start", unit.name)
    say(f"{file} written" + (f", {unit.name} runs" if start else ""))
    return file


def uninstall(name: str, folder: Path = FOLDER, *, stop: bool = True) -> None:
    """Takes away what `install` made. Data stays."""
    _check_possible(folder, start=stop)
    file = folder / f"{name}.service"
    if not file.exists():
        raise UserError(f"{name} is not installed here", hint=f"there is no {file}")
    if stop:
        _systemctl("disable", "--now", name)
    file.unlink()
    if stop:
        _systemctl("daemon-reload")
    say(f"{file} removed")


def _check_possible(folder: Path, *, start: bool) -> None:
    if os.geteuid() != 0:
        raise UserError("only root can install a unit of systemd", hint="run it with sudo")
    if start and not Path("/run/systemd/system").is_dir():
        raise UserError(
            "systemd does not run this machine", hint="use --no-start to only write the unit, or run it in your own way"
        )
    if not folder.is_dir():
        raise UserError(f"there is no directory {folder}")


def _systemctl(*arguments: str) -> None:
    command: Sequence[str] = ("systemctl", *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Refused(f"{shlex.join(command)} did not end within {TIMEOUT_S:g} s") from None
    if done.returncode:
        raise Refused(f"{shlex.join(command)}: {done.stderr.strip() or 'failed'}", hint="journalctl -xe says more")
