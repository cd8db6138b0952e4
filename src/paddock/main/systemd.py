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
STATE = Path("/var/lib")
TIMEOUT_S = 60.0
START_WITHIN_S = 300.0
"""A slow machine needs minutes for the first start, where Python compiles everything."""

_CONFINED = """NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
"""
SERVER = (
    _CONFINED
    + """CapabilityBoundingSet=CAP_NET_BIND_SERVICE
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
UMask=0077
"""
)
"""It needs its data directory and two ports, nothing else. Home is readable: pipx installs there."""
AGENT = (
    _CONFINED
    + "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SYS_ADMIN CAP_CHOWN CAP_FOWNER "
    + "CAP_DAC_OVERRIDE\n"
)
"""Links and addresses, names on port 53, files with owners, a tmpfs for them. No file system of its own: what it puts
into /run is bound into containers by an engine that must see it."""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """`restart_never_after`: exit codes after which coming back would not help. `confinement` is lines of the unit."""

    name: str
    description: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ("network-online.target",)
    data: str
    confinement: str
    restart_never_after: tuple[int, ...] = (2,)


def unit_text(unit: Unit) -> str:
    """It has started once it says so (`world/supervisor.py`). The process alone is stopped (`KillMode=process`): what
    it started lives on. It is started again for ever, after two seconds each time, but not when it said that this
    would not help."""
    return f"""[Unit]
Description={unit.description}
Wants=network-online.target
After={" ".join(unit.after)}
StartLimitIntervalSec=0

[Service]
Type=notify
TimeoutStartSec={START_WITHIN_S:g}
ExecStart={" ".join(_quoted(word) for word in unit.command)}
Restart=always
RestartSec=2
RestartPreventExitStatus={" ".join(str(code) for code in unit.restart_never_after)}
KillMode=process
TimeoutStopSec=30
LimitNOFILE=1048576
TasksMax=infinity
{_state(unit)}{unit.confinement}
[Install]
WantedBy=multi-user.target
"""


def _state(unit: Unit) -> str:
    """Below /var/lib systemd makes the directory, elsewhere `install` does."""
    path = Path(unit.data)
    if path.is_relative_to(STATE) and path != STATE:
        return f"StateDirectory={_quoted(str(path.relative_to(STATE)))}\nStateDirectoryMode=0700\n"
    return f"ReadWritePaths={_quoted(unit.data)}\n" if "ProtectSystem" in unit.confinement else ""


def _quoted(word: str) -> str:
    """As systemd.syntax(7) and its specifiers want it."""
    if any(ord(letter) < 32 for letter in word):
        raise UserError(f"{word!r} cannot be in a unit of systemd")
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return text if text and not set(text) & set(" '\"\\;#") else f'"{text}"'


def program() -> str:
    """This very program, by an absolute path, so that the unit does not depend on anybody's PATH."""
    found = shutil.which(sys.argv[0]) or shutil.which("paddock")
    if not found:
        raise UserError("cannot tell where `paddock` is installed", hint="install it with pipx or uv, and call it so")
    return os.path.abspath(found)


def install(unit: Unit, folder: Path = FOLDER, *, start: bool = True) -> Path:
    """Writes the unit, starts it now and with every boot. Doing it again takes over what changed."""
    _check_possible(folder, start=start)
    if not Path(unit.data).is_absolute():
        raise UserError(f"{unit.data} is not an absolute path", hint="a unit of systemd has no directory to begin at")
    file = folder / f"{unit.name}.service"
    text = unit_text(unit)
    changed = not file.exists() or file.read_text() != text
    Path(unit.data).mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_suffix(".service.new")
    draft.write_text(text)
    draft.replace(file)
    if start:
        _systemctl("daemon-reload")
        _systemctl("enable", unit.name)
        _start("restart" if changed else "start", unit.name)
    say(f"{file} written" + (f", {unit.name} runs" if start else ""))
    return file


def _start(how: str, name: str) -> None:
    """Until it is of use. One that cannot begin (port taken, not joined, no room) has ended by then."""
    try:
        _systemctl(how, name, within_s=START_WITHIN_S + TIMEOUT_S)
    except Refused as refused:
        words = _last_words(name)
        said = f": {words}" if words else ""
        raise Refused(f"{name} did not start{said}", hint=f"journalctl -u {name} says more") from refused


def _last_words(name: str) -> str:
    """What the program itself said last."""
    command = ("journalctl", "-u", name, "-n", "1", "-o", "cat", "SYSLOG_IDENTIFIER=paddock")
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


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
        _forget(name)
    say(f"{file} removed")


def _forget(name: str) -> None:
    """One that had failed is listed as such until it is told; one that had not is unknown by now, which is as well."""
    subprocess.run(("systemctl", "reset-failed", name), capture_output=True, timeout=TIMEOUT_S, check=False)


def _check_possible(folder: Path, *, start: bool) -> None:
    if os.geteuid() != 0:
        raise UserError("only root can install a unit of systemd", hint="run it with sudo")
    if start and not Path("/run/systemd/system").is_dir():
        raise UserError(
            "systemd does not run this machine", hint="use --no-start to only write the unit, or run it in your own way"
        )
    if not folder.is_dir():
        raise UserError(f"there is no directory {folder}")


def _systemctl(*arguments: str, within_s: float = TIMEOUT_S) -> None:
    command: Sequence[str] = ("systemctl", *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    except subprocess.TimeoutExpired:
        raise Refused(f"{shlex.join(command)} did not end within {within_s:g} s") from None
    if done.returncode:
        raise Refused(f"{shlex.join(command)}: {done.stderr.strip() or 'failed'}", hint="journalctl -xe says more")
