"""The whole of it: hosts on one cable, made together, and taken away without a trace."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from paddock.model.errors import Conflict, NotFound, UserError
from paddock.playground import engine, lan, machine, plan, state
from paddock.playground.cgroup import Cgroup
from paddock.playground.host import Host, has_name_server, make_mount_points, remove_mount_points
from paddock.playground.lan import Lan
from paddock.playground.process import Place
from paddock.playground.state import HostRecord, HostStatus, Process, Reachable, Settings, Status
from paddock.playground.wait import until

DEFAULT_ROOT = Path("/var/lib/paddock/playground")
DEFAULT_NAME = "paddock"
TURN_TIMEOUT_S = 60.0
EXEC_TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0
PARALLEL = 8
FILES = ("playground.json", "reachable.json", "lock")
FOLDERS = ("hosts", "machine", "server")

Answer = TypeVar("Answer")


class Playground:
    """Several real hosts on this machine. Every failure is a UserError.

    Everything kept is under `root`. `subnet` is a free /16 of the caller's choice, else one is found. `tell` hears
    the one or two sentences that are worth a warning.
    """

    def __init__(
        self,
        root: Path = DEFAULT_ROOT,
        name: str = DEFAULT_NAME,
        *,
        subnet: str | None = None,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.root = root.absolute()
        self.name = name
        self.prefix = plan.prefix(name)
        self._wanted_subnet = subnet
        self._tell = tell
        self._lan = Lan(self.prefix, self.root)
        self._cgroup = Cgroup(self.prefix)
        self._machine = Place(self._cgroup.child("machine"), (), f"{self.root}/machine", self.root / "machine")

    @property
    def hosts(self) -> tuple[str, ...]:
        return self._settings().hosts

    @property
    def address(self) -> str:
        """The machine's own address on the cable: where hosts find a server that listens on the machine."""
        return plan.machine_address(self._settings().subnet)

    def up(self, hosts: int = 3) -> Status:
        """At least that many hosts run when this returns, and what was registered on them. What runs is left alone."""
        if not 1 <= hosts <= plan.HOSTS_MAX:
            raise UserError(f"a playground has 1 to {plan.HOSTS_MAX} hosts, not {hosts}")
        machine.check_rights()
        with self._turn():
            settings = self._prepared(lambda known: max(hosts, len(known)))
            self._start_machine_processes()
            self._together(lambda host: self._start(settings, host), settings.hosts)
        return self.status()

    def add(self) -> str:
        """One host more. Returns its name."""
        with self._turn():
            if len(self._settings().hosts) >= plan.HOSTS_MAX:
                raise UserError(f"the playground has {plan.HOSTS_MAX} hosts already, which is all it can have")
            settings = self._prepared(lambda known: len(known) + 1)
            self._start(settings, settings.hosts[-1])
        return settings.hosts[-1]

    def down(self) -> None:
        """Leaves nothing behind, whatever state an `up` that was killed half-way left."""
        machine.check_rights()
        with self._turn() if self.root.is_dir() else contextlib.nullcontext():
            self._clear()

    def start(self, host: str) -> None:
        """Power on. On a host that runs, starts what is missing of its engine and its registered processes."""
        with self._turn():
            self._start(self._with_host(host), host)

    def stop(self, host: str) -> None:
        """An orderly shutdown. Does nothing to a host without power."""
        with self._turn():
            self._with_host(host)
            if self._host(host).boot_pid():
                self._host(host).stop()
                self._lan.unplug(host)

    def kill(self, host: str) -> None:
        """Power failure."""
        with self._turn():
            self._with_host(host)
            self._host(host).kill()
            self._lan.unplug(host)

    def cut(self, host: str) -> None:
        """Unplugs the host's network. It stays so through `kill`, `stop` and `start` until it is healed."""
        self._connect(host, connected=False)

    def heal(self, host: str) -> None:
        self._connect(host, connected=True)

    def run(
        self, host: str | None, argv: Sequence[str], *, label: str, env: Mapping[str, str], log: Path | None = None
    ) -> None:
        """Starts a process that dies with its host, and starts it again with every power-on until it is `end`ed.

        `host` None is the machine itself: such a process ends with `down`. `env` is all it gets, but for PATH.
        Running already, it is left alone, but the next start is as given here.
        """
        with self._turn():
            settings = self._settings() if host is None else self._with_host(host)
            where = self.root / "machine" if host is None else self._host(host).folder
            path = machine.search_path(settings.engine_dir)
            process = Process(
                label=label, argv=tuple(argv), env={"PATH": path, **env}, log=str(log or where / "log" / f"{label}.log")
            )
            self._place(host).start(process)
            self._remember(host, label, process)

    def end(self, host: str | None, label: str) -> None:
        """Ends a process that was `run`, kindly, then firmly, and forgets it."""
        with self._turn():
            place = self._place(host)
            if place.signal(label, signal.SIGTERM) and not until(lambda: place.pid(label) is None, END_TIMEOUT_S):
                place.signal(label, signal.SIGKILL)
            self._remember(host, label, None)

    def signal(self, host: str | None, label: str, number: int) -> bool:
        """Signals a process that was `run`, or "engine". False if it is not running; `start` revives it."""
        return self._place(host).signal(label, number)

    def pid(self, host: str | None, label: str) -> int | None:
        """The process' id as seen from the machine, None if it is not running."""
        return self._place(host).pid(label)

    def exec(
        self, host: str, argv: Sequence[str], *, timeout_s: float = EXEC_TIMEOUT_S, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the host to its end."""
        settings = self._with_host(host)
        return self._host(host).run(argv, machine.search_path(settings.engine_dir), timeout_s=timeout_s, stdin=stdin)

    def socket(self, host: str) -> Path:
        """The host's own Docker socket, as seen from the machine."""
        self._with_host(host)
        return self._host(host).socket

    def load(self, image: Path, host: str | None = None) -> None:
        """Puts an image on one host, or on all that run."""
        if not image.is_file():
            raise NotFound(f"there is no image file {image}", hint="`docker save` writes one")
        if host is not None:
            self._with_host(host)
        running = [name for name in self._settings().hosts if self._host(name).boot_pid()]
        self._together(lambda name: engine.load(self._host(name).socket, image), [host] if host else running)

    def record(self, reachable: Reachable) -> None:
        """Keeps what `status` says about the server that the caller runs for these hosts."""
        self._settings()
        state.write(self.root / "reachable.json", reachable)

    def status(self) -> Status:
        """Empty of hosts where nothing is up."""
        kept = state.read(self.root / "playground.json", Settings)
        reachable = state.read(self.root / "reachable.json", Reachable) or Reachable()
        hosts = self._together(lambda host: self._host_status(kept, host), kept.hosts) if kept else ()
        return Status(
            server=reachable.server,
            api_key_file=reachable.api_key_file,
            environment=reachable.environment,
            docker_host=reachable.docker_host,
            hosts=tuple(hosts),
        )

    def _settings(self) -> Settings:
        kept = state.read(self.root / "playground.json", Settings)
        if kept is None:
            raise NotFound(f"no playground is up in {self.root}", hint="paddock playground up")
        return kept

    def _with_host(self, host: str) -> Settings:
        machine.check_rights()
        settings = self._settings()
        if host not in settings.hosts:
            raise NotFound(f"the playground has no host '{host}'", hint=f"it has {', '.join(settings.hosts)}")
        return settings

    def _host(self, host: str) -> Host:
        return Host(host, self.root / "hosts" / host, self._cgroup.child(host))

    def _place(self, host: str | None) -> Place:
        if host is None:
            return self._machine
        self._with_host(host)
        return self._host(host).place

    def _prepared(self, count: Callable[[tuple[str, ...]], int]) -> Settings:
        """Settings and cable for as many hosts as `count` makes of those known."""
        kept = state.read(self.root / "playground.json", Settings)
        if kept and kept.name != self.name:
            raise Conflict(f"{self.root} belongs to the playground '{kept.name}'", hint="use its name, or another root")
        engine_dir = machine.engine_dir_from(os.environ) or (kept.engine_dir if kept else None)
        machine.check_fit(self.root, engine_dir)
        self._lan.check_owner()
        known = kept.hosts if kept else ()
        with lan.address_lock():
            subnet = kept.subnet if kept else self._lan.choose_subnet(self._wanted_subnet)
            if kept is None:
                kept = Settings(name=self.name, subnet=subnet)
                state.write(self.root / "playground.json", kept)
            self._lan.make(subnet, self._tell)
            make_mount_points()
        if not has_name_server():
            self._tell("the hosts resolve no names of the outside: this machine's only name server is on its loopback")
        hosts = tuple(f"h{number}" for number in range(1, count(known) + 1))
        settings = msgspec.structs.replace(kept, hosts=hosts, engine_dir=engine_dir)
        if settings != kept:
            state.write(self.root / "playground.json", settings)
        addresses = {host: plan.host_address(subnet, host) for host in hosts}
        for host in hosts:
            self._host(host).write_hosts(addresses)
        return settings

    def _start(self, settings: Settings, host: str) -> None:
        this = self._host(host)
        path = machine.search_path(settings.engine_dir)
        pid = this.boot_pid()
        if pid is None:
            (this.folder / "etc" / "docker").mkdir(parents=True, exist_ok=True)
            wanted = engine.settings(settings.subnet, host, this.cgroup.path)
            (this.folder / "etc" / "docker" / "daemon.json").write_bytes(wanted)
            pid = this.power_on(path)
            self._lan.plug(host, pid, settings.subnet, connected=not this.record.cut)
        elif not self._lan.plugged(host):
            # An earlier start was interrupted between the power and the network.
            self._lan.plug(host, pid, settings.subnet, connected=not this.record.cut)
        this.start_engine(path)
        for process in this.record.processes:
            this.place.start(process)

    def _start_machine_processes(self) -> None:
        record = state.read(self.root / "machine" / "host.json", HostRecord) or HostRecord()
        for process in record.processes:
            self._machine.start(process)

    def _connect(self, host: str, *, connected: bool) -> None:
        with self._turn():
            self._with_host(host)
            this = self._host(host)
            this.keep(msgspec.structs.replace(this.record, cut=not connected))
            if this.boot_pid():
                self._lan.connect(host, connected=connected)

    def _remember(self, host: str | None, label: str, process: Process | None) -> None:
        path = (self.root / "machine" if host is None else self._host(host).folder) / "host.json"
        record = state.read(path, HostRecord) or HostRecord()
        others = tuple(other for other in record.processes if other.label != label)
        path.parent.mkdir(exist_ok=True)
        state.write(path, msgspec.structs.replace(record, processes=(*others, process) if process else others))

    def _host_status(self, settings: Settings, host: str) -> HostStatus:
        this = self._host(host)
        if this.boot_pid() is None:
            now = state.STOPPED if this.record.stopped else state.DOWN
        elif this.record.cut:
            now = state.CUT
        else:
            now = state.ACTIVE if engine.answers(this.socket) else state.DOWN
        address = plan.host_address(settings.subnet, host)
        return HostStatus(name=host, address=address, engine=f"unix://{this.socket}", state=now)

    def _clear(self) -> None:
        self._lan.check_owner()
        if self._machine.cgroup.pids():
            self._end_machine_processes()
        self._cgroup.kill()
        self._cgroup.remove()
        for folder in FOLDERS:
            shutil.rmtree(self.root / folder, ignore_errors=True)
        for file in FILES:
            (self.root / file).unlink(missing_ok=True)
        _remove_if_empty(self.root)
        with lan.address_lock():
            self._lan.remove()
            if not self._lan.siblings():
                remove_mount_points()
                if self.root == DEFAULT_ROOT:
                    _remove_if_empty(self.root.parent)

    def _end_machine_processes(self) -> None:
        """The server gets time to close its database."""
        for pid in self._machine.cgroup.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until(lambda: not self._machine.cgroup.pids(), END_TIMEOUT_S)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One command at a time works on a playground."""
        machine.check_rights()
        held: list[int] = []
        try:
            if not until(lambda: self._take_turn(held), TURN_TIMEOUT_S):
                raise UserError("another command is at work on this playground", hint="try again when it is done")
            yield
        except OSError as error:
            where = error.filename or self.root
            raise UserError(
                f"the playground failed at {where}: {error.strerror}", hint="is there space left?"
            ) from error
        finally:
            for lock in held:
                os.close(lock)

    def _take_turn(self, held: list[int]) -> bool:
        self.root.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # A `down` that was before us took the file away: then its lock is worth nothing.
            if lan.flock(lock) and os.fstat(lock).st_ino == (self.root / "lock").stat().st_ino:
                held.append(lock)
        except FileNotFoundError:
            held.clear()
        if not held:
            os.close(lock)
        return bool(held)

    def _together(self, work: Callable[[str], Answer], hosts: Sequence[str]) -> tuple[Answer, ...]:
        """For all at the same time. Waits for all; the first that failed, in order, is raised."""
        if len(hosts) < 2:
            return tuple(work(host) for host in hosts)
        with ThreadPoolExecutor(min(PARALLEL, len(hosts))) as pool:
            return tuple(done.result() for done in [pool.submit(work, host) for host in hosts])


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
