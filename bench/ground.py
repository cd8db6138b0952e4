"""What benches on real engines share: a playground, busybox on its hosts, and the command line of this source tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paddock.playground import images

IMAGE = "busybox:latest"
IMAGE_CACHE = Path("/var/cache/paddock/images")
TIMEOUT_S = 300.0
SWITCHES = ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONDEVMODE")
"""What users do not have set and what makes every start of Python slower."""
PADDOCK = [sys.executable, "-m", "paddock.main"]


class Ground:
    """`hosts`: name -> its engine's socket."""

    def __init__(self, root: Path, config: Path) -> None:
        self.root = root
        self._variables = {
            name: value
            for name, value in os.environ.items()
            if name not in SWITCHES and not name.startswith("PADDOCK_")
        }
        self._variables |= {"PADDOCK_CONFIG": str(config)}
        self.hosts: Mapping[str, str] = {}

    def begin(self, hosts: int) -> None:
        self.playground("up", "--hosts", str(hosts))
        self.playground("load", str(images.build("busybox", IMAGE_CACHE)))
        self.hosts = {host["name"]: host["engine"] for host in self.status()["hosts"]}

    def status(self) -> Any:
        return json.loads(self.playground("status", "--json"))

    def playground(self, *words: str) -> str:
        return self.paddock("playground", *words, "--root", str(self.root))

    def paddock(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [*PADDOCK, *words], env=self._variables, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if check and done.returncode:
            raise SystemExit(f"paddock {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


@contextmanager
def playground(hosts: int, root: Path | None) -> Iterator[Ground]:
    """One of our own, taken down at the end; with `root` the one that is up there (or comes up), which then stays."""
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as scratch:
        ground = Ground(root or Path("/var/lib", f"paddock-bench-{os.getpid()}"), Path(scratch, "config.json"))
        try:
            ground.begin(hosts)
            yield ground
        finally:
            if root is None:
                ground.playground("down")


def timed(command: list[str], variables: Mapping[str, str] | None = None) -> float:
    """Seconds that the command took; it has to end well."""
    began = time.perf_counter()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took
