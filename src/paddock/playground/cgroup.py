"""The cgroup tree of a playground: what accounts for its processes, and how not one of them is ever lost."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from paddock.model.errors import UserError
from paddock.playground.wait import until

KILL_TIMEOUT_S = 10.0


class Cgroup:
    """One path below the root of every hierarchy: of each of version 1's, or of version 2's only one."""

    def __init__(self, path: str) -> None:
        self.path = path

    def child(self, name: str) -> Cgroup:
        return Cgroup(f"{self.path}/{name}")

    def make(self) -> None:
        for root, _ in _hierarchies():
            (root / self.path).mkdir(parents=True, exist_ok=True)

    def files(self) -> tuple[str, ...]:
        """Where a process writes its id to join. A cpuset of version 1 is left out: it starts empty and refuses."""
        found = tuple(
            str(root / self.path / "cgroup.procs") for root, options in _hierarchies() if "cpuset" not in options
        )
        if not found:
            raise UserError("no cgroup hierarchy is mounted", hint="mount one at /sys/fs/cgroup")
        return found

    def pids(self) -> tuple[int, ...]:
        """Every process in this group and below, by its id on the machine."""
        found: set[int] = set()
        for folder in self._folders():
            with contextlib.suppress(OSError):
                found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
        return tuple(sorted(found - {0}))

    def kill(self) -> None:
        """kill -9 to all of it, again until nothing is left."""

        def empty() -> bool:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.pids()

        if not until(empty, KILL_TIMEOUT_S):
            raise UserError(f"processes {', '.join(map(str, self.pids()))} survive kill -9", hint="a reboot ends them")

    def remove(self) -> None:
        """Removes the group and all below it. Its processes must be gone: the kernel lets go of them a moment later."""

        def gone() -> bool:
            for folder in self._folders():
                with contextlib.suppress(OSError):
                    folder.rmdir()
            return not self._folders()

        if not until(gone, KILL_TIMEOUT_S):
            raise UserError(f"cgroup {self.path} is still in use", hint="end the processes in it")

    def _folders(self) -> tuple[Path, ...]:
        """Deepest first."""
        found: list[Path] = []
        for root, _ in _hierarchies():
            for folder, _, _ in os.walk(root / self.path, topdown=False):
                found.append(Path(folder))
        return tuple(found)


def _hierarchies() -> tuple[tuple[Path, frozenset[str]], ...]:
    """Mount point and options of each."""
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options = line.split()[:4]
        if kind in ("cgroup", "cgroup2") and point.startswith("/sys/fs/cgroup"):
            found.append((Path(point), frozenset(options.split(","))))
    return tuple(found)
