"""How long commands take to start, beside `docker ps` (or `docker --version` where no engine answers), in the same run.

    python bench/cli_start.py

Prints median and best of many runs. `paddock ps` ends at once for want of a server: everything is loaded by then.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time

RUNS = 30
TIMEOUT_S = 10.0

PADDOCK = [sys.executable, "-m", "paddock.main"]
COMMANDS = {"paddock --help": [*PADDOCK, "--help"], "paddock ps": [*PADDOCK, "ps"]}


def once(command: list[str]) -> float:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PADDOCK_")}
    began = time.perf_counter()
    subprocess.run(
        command, env=variables | {"PADDOCK_CONFIG": "/nonexistent"}, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    return (time.perf_counter() - began) * 1000


def beside() -> tuple[str, list[str]]:
    if not shutil.which("docker"):
        return "python -c pass", [sys.executable, "-c", "pass"]
    listing = ["docker", "ps"]
    answered = subprocess.run(listing, capture_output=True, timeout=TIMEOUT_S, check=False).returncode == 0
    return ("docker ps", listing) if answered else ("docker --version", ["docker", "--version"])


def main() -> None:
    name, command = beside()
    everything = {name: command, **COMMANDS}
    taken: dict[str, list[float]] = {each: [] for each in everything}
    for _ in range(RUNS):
        for each, arguments in everything.items():
            taken[each].append(once(arguments))
    reference = statistics.median(taken[name])
    for each, times in taken.items():
        median = statistics.median(times)
        print(f"{each:18} median {median:6.1f} ms   best {min(times):6.1f} ms   {median / reference:5.2f}x {name}")


if __name__ == "__main__":
    main()
