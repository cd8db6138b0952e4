"""An image's way to another host: `docker create` there through the gateway, beside `docker save | docker load` and a
create on the engines themselves, in one run.

Needs a playground that is up, with the image busybox on its hosts:
`PADDOCK_PLAYGROUND=/var/lib/paddock/playground python bench/images.py [--mib 100] [--rounds 3]`.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(os.environ.get("PADDOCK_PLAYGROUND", "/var/lib/paddock/playground"))
GATEWAY = ROOT / "server" / "docker.sock"
SOURCE, TARGET = "h1", "h2"
SMALL_BYTES = 1_000_000
TIMEOUT_S = 600
COPIED = re.compile(r"image=(\S+) .*bytes=(\d+) layers_left_out=(\d+)")


def socket(host: str) -> Path:
    return ROOT / "hosts" / host / "run" / "docker.sock"


def docker(where: Path, *arguments: str) -> str:
    variables = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": "/nonexistent"}
    done = subprocess.run(
        ["docker", "-H", f"unix://{where}", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=variables,
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def build(folder: Path, name: str, base: str, size: int) -> None:
    with (folder / "data").open("wb") as data:
        for _ in range(size // 2**16):
            data.write(os.urandom(2**16))
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY data /{name}\n")
    docker(socket(SOURCE), "build", "-q", "-t", name, str(folder))


def ours(image: str) -> float:
    began = time.perf_counter()
    docker(GATEWAY, "create", "--name", "bench-image", "-e", f"constraint:node=={TARGET}", image, "sleep", "1")
    return time.perf_counter() - began


def piped(image: str) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        ["docker", "-H", f"unix://{socket(SOURCE)}", "save", image], stdout=subprocess.PIPE
    ) as saving:
        load = ["docker", "-H", f"unix://{socket(TARGET)}", "load", "-q"]
        subprocess.run(load, stdin=saving.stdout, check=True, capture_output=True, timeout=TIMEOUT_S)
    docker(socket(TARGET), "create", "--name", "bench-image", image, "sleep", "1")
    return time.perf_counter() - began


def forget(where: Path, image: str) -> None:
    docker(where, "rm", "-f", "bench-image")
    docker(socket(TARGET), "rmi", image)


def sent(image: str) -> str:
    text = "".join(path.read_text() for path in (ROOT / "machine" / "log").iterdir())
    found = [match for match in COPIED.findall(text) if match[0].partition(":")[0] == image]
    return f"{int(found[-1][1]) / 1e6:.1f} MB sent, {found[-1][2]} layers left out" if found else "not logged"


def compare(what: str, image: str, rounds: int) -> None:
    taken: dict[str, list[float]] = {"ours": [], "piped": []}
    scenes: dict[str, tuple[Callable[[str], float], Path]] = {
        "ours": (ours, GATEWAY),
        "piped": (piped, socket(TARGET)),
    }
    for _ in range(rounds):
        for name, (act, where) in scenes.items():
            taken[name].append(act(image))
            forget(where, image)
    mine, beside = (statistics.median(taken[name]) for name in ("ours", "piped"))
    print(f"{what}: {mine:.2f} s, save | load {beside:.2f} s, ratio {mine / beside:.2f} ({sent(image)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), "bench-whole", "busybox", options.mib * 2**20)
        build(Path(folder), "bench-top", "bench-whole", SMALL_BYTES)
    try:
        compare(f"an image of {options.mib} MiB", "bench-whole", options.rounds)
        piped("bench-whole")
        docker(socket(TARGET), "rm", "-f", "bench-image")
        compare(f"1 MB on top of {options.mib} MiB that are there", "bench-top", options.rounds)
    finally:
        docker(socket(TARGET), "rmi", "-f", "bench-whole")
        docker(socket(SOURCE), "rmi", "-f", "bench-top", "bench-whole")


if __name__ == "__main__":
    main()
