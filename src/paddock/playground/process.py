"""Processes that outlive the command which started them, inside a host or on the machine itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from paddock.model.errors import UserError
from paddock.playground import machine
from paddock.playground.cgroup import Cgroup
from paddock.playground.state import Process

START_TIMEOUT_S = 20.0
JOIN = 'for file in $JOIN; do echo $$ >"$file"; done; unset JOIN; exec "$@"'
BEGIN = """
command -v "$2" >/dev/null || { echo "$2: not found" >&2; exit 127; }
started() { set -- ${1##*) }; shift 19; echo "$1"; }
read -r stat </proc/$$/stat
mkdir -p "${1%/*}"; echo "$$ $(started "$stat")" >"$1"; shift
ulimit -n 1048576 2>/dev/null || :
exec "$@" 2>&1
"""


class Place:
    """Where processes run: a cgroup, the way into namespaces, and a folder of pid files as seen from within."""

    def __init__(self, cgroup: Cgroup, enter: Sequence[str], pid_files: str, seen_at: Path) -> None:
        self.cgroup = cgroup
        self.enter = tuple(enter)
        self.pid_files = pid_files
        self.seen_at = seen_at

    def joining(self, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The command that runs `argv` in this place, and what it needs in its environment besides."""
        return ["sh", "-euc", JOIN, "sh", *self.enter, *argv], {"JOIN": " ".join(self.cgroup.files())}

    def start(self, process: Process) -> None:
        """Returns when the program is about to be executed. Does nothing if it runs already."""
        if self.pid(process.label):
            return
        self.cgroup.make()
        begin = ["setsid", "--fork", "sh", "-euc", BEGIN, "sh", f"{self.pid_files}/{process.label}.pid", *process.argv]
        argv, extra = self.joining(begin)
        Path(process.log).parent.mkdir(parents=True, exist_ok=True)
        with open(process.log, "ab") as log:
            said = _until_detached(argv, {"PATH": machine.SYSTEM_PATH, **process.env, **extra}, log.fileno())
        if said:
            raise UserError(f"{process.label} did not start: {said}")

    def pid(self, label: str) -> int | None:
        """Its id on the machine, None if it is not running."""
        try:
            inner, started = map(int, (self.seen_at / f"{label}.pid").read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        for pid in self.cgroup.pids():
            if ids(pid)[-1:] == (inner,) and started_at(pid) == started:
                return pid
        return None

    def signal(self, label: str, number: int) -> bool:
        """False if it was not running."""
        pid = self.pid(label)
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def run(
        self, argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str], stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end and returns what it printed."""
        joined, extra = self.joining(argv)
        try:
            return subprocess.run(
                joined,
                check=False,
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                env={**env, **extra},
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"{' '.join(argv[:4])} did not end within {timeout_s:.0f} s") from None


def ids(pid: int) -> tuple[int, ...]:
    """The process' ids, from the machine's namespace inwards; () if it is gone or a zombie."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    fields = dict(line.split(":", 1) for line in lines)
    if fields["State"].split()[0] in "ZX":
        return ()
    return tuple(int(number) for number in fields["NSpid"].split())


def started_at(pid: int) -> int | None:
    """Start time in clock ticks since boot: with the pid it names one process. None if gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def name_and_parent(pid: int) -> tuple[str, int]:
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return before.partition("(")[2], int(after.split()[1])


def _until_detached(argv: Sequence[str], env: Mapping[str, str], log: int) -> str:
    """What the starting shells had to say: they hold our pipe until the program itself takes over."""
    starter = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.PIPE, env=env, cwd="/")
    try:
        _, said = starter.communicate(timeout=START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        starter.send_signal(signal.SIGKILL)
        starter.communicate()
        raise UserError(f"{argv[-1]} did not start within {START_TIMEOUT_S:.0f} s") from None
    return " ".join(said.decode(errors="replace").split())
