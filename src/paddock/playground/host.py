"""One host: namespaces held by a tiny first process, so that to kill that one is a power failure of all of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import msgspec

from paddock.model.errors import UserError
from paddock.playground import engine
from paddock.playground.cgroup import Cgroup
from paddock.playground.process import Place, ids, name_and_parent, started_at
from paddock.playground.state import HostRecord, Process, read, write
from paddock.playground.wait import until

BOOT_TIMEOUT_S = 20.0
DIE_TIMEOUT_S = 10.0
END_TIMEOUT_S = 5.0
CONTAINERS_END_S = 3.0
"""Containers' programs get this long to end by themselves in an orderly stop; many, as process 1, never do."""

NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
PRIVATE = {
    "run": "/run",
    "docker": "/var/lib/docker",
    "containerd": "/var/lib/containerd",
    "log": "/var/log",
    "etc/docker": "/etc/docker",
    "paddock": "/var/lib/paddock",
}
"""Folder of the host -> the directory it is bound onto."""

MARK = "trusted.paddock"
LOOPBACK = ("127.", "::1")


class Host:
    def __init__(self, name: str, folder: Path, cgroup: Cgroup) -> None:
        self.name = name
        self.folder = folder
        self.cgroup = cgroup
        self.socket = folder / "run" / "docker.sock"
        self.engine_log = folder / "log" / "dockerd.log"

    @property
    def record(self) -> HostRecord:
        return read(self.folder / "host.json", HostRecord) or HostRecord()

    def keep(self, record: HostRecord) -> None:
        write(self.folder / "host.json", record)

    def boot_pid(self) -> int | None:
        """The first process' id on the machine; None without power."""
        boot = self.record.boot
        return boot[0] if boot and started_at(boot[0]) == boot[1] else None

    @property
    def place(self) -> Place:
        """Raises UserError without power."""
        pid = self.boot_pid()
        if pid is None:
            raise UserError(f"host {self.name} has no power", hint=f"paddock playground start {self.name}")
        enter = ("nsenter", f"--target={pid}", "--mount", "--net", "--uts", "--ipc", "--pid", "--")
        return Place(self.cgroup.child("daemon"), enter, "/run/playground", self.folder / "run" / "playground")

    def power_on(self, path: str) -> int:
        """Namespaces and first process, nothing else yet. Returns that process' id on the machine."""
        self.cgroup.kill()
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        for name in (*PRIVATE, "cgroup"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        binds = self._binds()
        self.cgroup.child("daemon").make()
        pid = self._boot(binds, path)
        started = started_at(pid)
        if started is None:
            raise UserError(f"host {self.name} lost power while booting", hint="try again")
        self.keep(msgspec.structs.replace(self.record, boot=(pid, started), stopped=False))
        return pid

    def start_engine(self, path: str) -> None:
        """Returns when the engine answers."""
        place = self.place
        place.start(
            Process(label=engine.LABEL, argv=("dockerd",), env=engine.environment(path), log=str(self.engine_log))
        )
        # A starting engine answers or dies: look for the second only after some patience with the first.
        until(lambda: self._engine_settled(place), engine.START_TIMEOUT_S)
        if not engine.answers(self.socket):
            raise UserError(
                f"the engine of {self.name} did not come up: {engine.last_words(self.engine_log)}",
                hint=f"its whole log is {self.engine_log}",
            )

    def _engine_settled(self, place: Place) -> bool:
        return engine.answers(self.socket) or place.pid(engine.LABEL) is None

    def stop(self) -> None:
        """In order: what was started here, the engine, what its containers run, at last the power."""
        place = self.place
        labels = [process.label for process in self.record.processes]
        for label, wait_s in [*((label, END_TIMEOUT_S) for label in labels), (engine.LABEL, engine.STOP_TIMEOUT_S)]:
            if place.signal(label, signal.SIGTERM):
                until(lambda label=label: place.pid(label) is None, wait_s)  # type: ignore[misc]
        boot = self.boot_pid()
        for pid in self._asked_to_end(boot):
            _send(pid, signal.SIGTERM)
        until(lambda: not self._asked_to_end(boot), CONTAINERS_END_S)
        self.keep(msgspec.structs.replace(self.record, stopped=True))
        self.kill()

    def kill(self) -> None:
        """Power failure: everything within is gone when this returns."""
        boot = self.boot_pid()
        if boot is not None:
            _send(boot, signal.SIGKILL)
            if not until(lambda: self.boot_pid() is None, DIE_TIMEOUT_S):
                raise UserError(f"process {boot}, the first of {self.name}, survives kill -9", hint="a reboot ends it")
        self.cgroup.kill()

    def run(
        self, argv: Sequence[str], path: str, *, timeout_s: float, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return self.place.run(argv, timeout_s=timeout_s, env={**os.environ, "PATH": path}, stdin=stdin)

    def write_hosts(self, addresses: Mapping[str, str]) -> None:
        """/etc/hosts, written in place: it is bound into the host while it runs."""
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        lines += [f"{address} {name}" for name, address in addresses.items()]
        (self.folder / "etc").mkdir(parents=True, exist_ok=True)
        (self.folder / "etc" / "hosts").write_text("\n".join(lines) + "\n")

    def _asked_to_end(self, boot: int | None) -> tuple[int, ...]:
        """All but the two that hold the host, and the shims, which only watch."""
        found = []
        for pid in self.cgroup.pids():
            name, parent = name_and_parent(pid)
            holder = pid == boot or (parent == boot and name == "sleep")
            if ids(pid) and not holder and not name.startswith("containerd-shim"):
                found.append(pid)
        return tuple(found)

    def _binds(self) -> list[tuple[str, str]]:
        pairs = [(str(self.folder / source), target) for source, target in PRIVATE.items()]
        # What covers our own folder comes last, or the later sources would be out of sight.
        return sorted(pairs + self._files(), key=lambda pair: self.folder.is_relative_to(pair[1]))

    def _files(self) -> list[tuple[str, str]]:
        """Files the host has of its own, as far as the machine has them. Bound by the folders they are in."""
        own = self.folder / "etc"
        machine_id = own / "machine-id"
        if not machine_id.exists():
            machine_id.write_text(os.urandom(16).hex() + "\n")
        (own / "hostname").write_text(self.name + "\n")
        (own / "resolv.conf").write_text(_name_servers())
        pairs = []
        for name in ("hosts", "hostname", "machine-id", "resolv.conf"):
            target = Path("/etc", name).resolve()
            if target.is_relative_to("/run"):
                inside = self.folder / "run" / target.relative_to("/run")
                inside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(own / name, inside)
            elif target.exists():
                pairs.append((str(own / name), str(target)))
        return pairs

    def _boot(self, binds: Sequence[tuple[str, str]], path: str) -> int:
        script = resources.files("paddock.playground").joinpath("boot.sh").read_text()
        unshare = ["unshare", *NAMESPACES, "--propagation=private", "sh", "-c", script, "boot"]
        argv, extra = Place(self.cgroup.child("daemon"), (), "", self.folder).joining(
            [*unshare, *(part for pair in binds for part in pair)]
        )
        env = {"PATH": path, "HOST": str(self.folder), "NAME": self.name, **extra}
        booting = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd="/",
            start_new_session=True,
        )  # fmt: skip
        try:
            out, err = booting.communicate(timeout=BOOT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.cgroup.kill()
            booting.communicate()
            raise UserError(f"host {self.name} did not boot within {BOOT_TIMEOUT_S:.0f} s", hint="try again") from None
        words = out.split()
        if "ready" not in words:
            self.cgroup.kill()
            raise UserError(f"host {self.name} did not boot: {' '.join(err.split()) or 'its first process died'}")
        return next(int(word) for word in words if word != "ready")


def make_mount_points() -> None:
    """Makes the directories of the machine that hosts bind onto, where it has none, and marks them as ours."""
    for target in PRIVATE.values():
        if not Path(target).is_dir():
            Path(target).mkdir(parents=True, mode=0o711)
            # Where the file system keeps no marks, an empty directory stays behind in the end.
            with contextlib.suppress(OSError):
                os.setxattr(target, MARK, b"made")


def remove_mount_points() -> None:
    """Only when no host of any playground is left: to remove a directory unmounts what others have bound onto it."""
    for target in PRIVATE.values():
        with contextlib.suppress(OSError):
            if os.getxattr(target, MARK) == b"made":
                Path(target).rmdir()


def has_name_server() -> bool:
    return "nameserver" in _name_servers()


def _name_servers() -> str:
    """The machine's resolv.conf, without the servers that only the machine's own loopback reaches."""
    for source in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if source.is_file():
            lines = source.read_text().splitlines()
            kept = [
                line for line in lines if not (line.startswith("nameserver") and line.split()[1].startswith(LOOPBACK))
            ]
            return "\n".join(kept) + "\n"
    return "\n"


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
