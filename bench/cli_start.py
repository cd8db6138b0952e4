"""How long commands take to start, beside `docker ps` (or `docker --version` where no engine answers), in the same run.

    python bench/cli_start.py

Prints the median and the best of many runs, and the least CPU time (user and system), which neighbours on the machine
change least. `paddock ps` ends at once for want of a server: everything is loaded by then.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

RUNS = 30
TIMEOUT_S = 10.0
SWITCHES = ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONDEVMODE")
"""What users do not have set and what makes every start of Python slower."""

PADDOCK = [sys.executable, "-m", "paddock.main"]
COMMANDS = {
    "paddock --help": [*PADDOCK, "--help"],
    "paddock ps": [*PADDOCK, "ps"],
    "paddock up --help": [*PADDOCK, "up", "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


class Taken(NamedTuple):
    wall_ms: float
    cpu_ms: float


def once(command: list[str]) -> Taken:
    variables = {
        name: value for name, value in os.environ.items() if name not in SWITCHES and not name.startswith("PADDOCK_")
    }
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, env=variables | {"PADDOCK_CONFIG": "/nonexistent"}, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    after, took_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began_s
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(took_s * 1000, cpu_s * 1000)


def beside() -> tuple[str, list[str]]:
    if not shutil.which("docker"):
        return "python -c pass", [sys.executable, "-c", "pass"]
    listing = ["docker", "ps"]
    answered = subprocess.run(listing, capture_output=True, timeout=TIMEOUT_S, check=False).returncode == 0
    return ("docker ps", listing) if answered else ("docker --version", ["docker", "--version"])


def main() -> None:
    name, command = beside()
    everything = {name: command, **COMMANDS}
    taken: dict[str, list[Taken]] = {each: [] for each in everything}
    for _ in range(RUNS):
        for each, arguments in everything.items():
            taken[each].append(once(arguments))
    reference = statistics.median(one.wall_ms for one in taken[name])
    for each, times in taken.items():
        median = statistics.median(one.wall_ms for one in times)
        best, cpu = min(one.wall_ms for one in times), min(one.cpu_ms for one in times)
        print(
            f"{each:18} median {median:6.1f} ms   best {best:6.1f} ms   CPU {cpu:4.0f} ms   "
            f"{median / reference:5.2f}x {name}"
        )
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
