"""`./quickstart` as a newcomer runs it, twice, and what `--down` leaves behind: nothing.

In a place of its own, so that one that is up is not touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from paddock.playground import machine, plan
from waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
FIRST_WITHIN_S, AGAIN_WITHIN_S = 180.0, 30.0
pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="QUICKSTART NOT TESTED: needs Linux and root"
    ),
]


def quickstart(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    own = {"PADDOCK_CONFIG": f"{root}.json", "PADDOCK_PLAYGROUND": str(root)}
    return subprocess.run(
        ["./quickstart", *arguments], cwd=REPOSITORY, env={**env, **own},
        capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def processes(root: Path) -> set[str]:
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                cgroup = (folder / "cgroup").read_text()
            except OSError:
                continue
            if str(root) in line or f"/{plan.prefix(root.name)}/" in cgroup:
                found.add(f"{folder.name} {line}")
    return found


def made(root: Path) -> set[str]:
    """What bears the marks of the playground at `root`, anywhere on the machine."""
    prefix = plan.prefix(root.name)
    lines = [
        *machine.command(["ip", "-o", "link"]).splitlines(),
        *machine.command(["ip", "netns"]).splitlines(),
        *machine.command(["iptables-save"]).splitlines(),
        *Path("/proc/self/mountinfo").read_text().splitlines(),
        *(str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{prefix}") if path.is_dir()),
    ]
    marks = (str(root), f" {prefix}-", f":{prefix}", f"/{prefix}")
    return {line for line in lines if line.startswith(f"{prefix}-") or any(mark in line for mark in marks)}


def test_quickstart_twice_and_down() -> None:
    root = Path(tempfile.mkdtemp(prefix="qs"))
    try:
        started = time.monotonic()
        first = quickstart(root)
        assert first.returncode == 0, first.stderr[-3000:]
        assert time.monotonic() - started < FIRST_WITHIN_S
        url = next(line.strip() for line in first.stdout.splitlines() if line.strip().startswith("http://"))
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200
        running = processes(root)
        assert any("dockerd" in line for line in running)
        assert made(root)
        started = time.monotonic()
        again = quickstart(root)
        assert again.returncode == 0, again.stderr[-3000:]
        assert time.monotonic() - started < AGAIN_WITHIN_S
        daemons = ("dockerd", "paddock ", "nginx", "redis", "python3 -u")
        assert {line for line in running if any(name in line for name in daemons)} <= processes(root)
        assert url in again.stdout
    finally:
        down = quickstart(root, "--down")
    assert down.returncode == 0, down.stderr[-3000:]
    assert not root.exists()
    until(lambda: processes(root) == set(), "its processes are gone, and init has reaped them", 20)
    assert made(root) == set()
    Path(f"{root}.json").unlink(missing_ok=True)
