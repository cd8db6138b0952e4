"""Two real Docker engines, each in a network namespace of a lab, and an image made of the machine's own programs."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from network_lab import LabHost, command
from waiting import until

IMAGE = "network-test:1"
START_S = 60.0
STOP_S = 30.0


class Engine:
    """dockerd in a host's network namespace, with everything it writes under `folder`."""

    def __init__(self, host: LabHost, folder: Path) -> None:
        self.host = host
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    def start(self) -> None:
        folder = self._folder
        words = [
            *("nsenter", f"--net=/run/netns/{self.host.namespace}"),
            *("unshare", "-m", "--propagation", "private", "dockerd"),
            *(f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"),
            *(f"--host=unix://{folder}/docker.sock", "--bridge=none", "--userland-proxy=false", "--iptables=true"),
        ]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_environment()
            )
        until(self._answers, f"{self.host.name}'s engine answers", START_S)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(STOP_S)
            self._process = None

    def remove(self) -> None:
        with suppress(AssertionError):
            left = self.docker("ps", "-aq").split()
            if left:
                self.docker("rm", "-f", *left)
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def docker(self, *words: str) -> str:
        return command("docker", "-H", f"unix://{self._folder}/docker.sock", *words)

    def load_image(self) -> None:
        done = subprocess.run(
            ["docker", "-H", f"unix://{self._folder}/docker.sock", "import", "-", IMAGE],
            input=image_archive(("/usr/bin/getent", "/bin/ping", "/usr/bin/dig")),
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
        with suppress(AssertionError):
            self.docker("version")
            return True
        return False


def _environment() -> dict[str, str]:
    """`PADDOCK_ENGINE_DIR` holds another engine's programs."""
    folder = os.environ.get("PADDOCK_ENGINE_DIR", "")
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"} if folder else dict(os.environ)


def image_archive(programs: Sequence[str]) -> bytes:
    """busybox, these programs and every library they load, and glibc's way of resolving names."""
    libraries = {line.split()[-2] for program in programs for line in _loaded(program)}
    libraries |= set(map(str, Path("/lib/x86_64-linux-gnu").glob("libnss_dns.so*")))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add("/bin/busybox", "bin/busybox")
        for name in ("sh", "sleep", "nslookup"):
            _link(archive, f"bin/{name}", "busybox")
        for path in sorted({*programs, *libraries}):
            archive.add(os.path.realpath(path), path.lstrip("/"))
        text = b"hosts: files dns\n"
        entry = tarfile.TarInfo("etc/nsswitch.conf")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
    return packed.getvalue()


def _loaded(program: str) -> list[str]:
    return [line for line in command("ldd", program).splitlines() if "/" in line]


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)
