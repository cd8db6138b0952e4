"""Every command in the guides is run as written, in order, on a playground of its own.

`docs/guides/real-machines.md` has a test of its own (`test_real_machines.py`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs_examples import DOCS, ROOT, Block, blocks
from paddock.playground import images
from paddock.playground.playground import Playground

pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="GUIDES NOT TRIED: needs Linux and root"),
]

IMAGES = ("nginx", "python", "redis", "busybox")
CACHE = Path("/var/cache/paddock/images")
BLOCK_TIMEOUT_S = 240
SHOP = ROOT / "examples" / "shop"


class Reader:
    """Does what a page says: its files and commands, in a directory of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def follow(self, page: Path) -> None:
        for block in blocks(page):
            if block.language == "yaml" and "file" in block.marks:
                (self.folder / block.marks["file"]).write_text(block.text)
            elif block.language == "console":
                self.do(block)

    def do(self, block: Block) -> None:
        commands = block.commands
        assert commands, f"{block.place}: no line begins with `$ `"
        for command in commands:
            wanted = block.marks.get("exit", "0") if command is commands[-1] else "0"
            done = subprocess.run(
                ["bash", "-euc", command], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=BLOCK_TIMEOUT_S, check=False,
            )  # fmt: skip
            said = f"{block.place}: $ {command}\nexit {done.returncode}\n{done.stdout}{done.stderr}"
            assert wanted in ("any", str(done.returncode)), said
            assert "Traceback" not in done.stderr, said


def paddock_in(folder: Path) -> Path:
    """A directory for PATH with this very Paddock in it."""
    folder.mkdir()
    program = folder / "paddock"
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
    program.write_text(f'#!/bin/sh\nexport PYTHONPATH="{paths}"\nexec {sys.executable} -m paddock.main "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """-> the environment in which commands find it."""
    name = f"d{os.getpid() % 0xFFFFF:05x}"
    root = Path("/var/lib") / f"paddock-{name}"
    work = Path(tempfile.mkdtemp(prefix="paddock-docs-"))
    environment = {
        "PATH": f"{paddock_in(work / 'bin')}:{os.environ['PATH']}",
        "HOME": str(work),
        "LANG": "C.UTF-8",
        "PADDOCK_PLAYGROUND": str(root),
        "PADDOCK_CONFIG": str(work / "config.json"),
    }
    playground = Playground(root, root.name)
    try:
        up(environment)
        for image in IMAGES:
            playground.load(images.build(image, CACHE))
        yield environment
    finally:
        subprocess.run(["paddock", "playground", "down"], env=environment, timeout=120, check=False)
        shutil.rmtree(work)


def up(environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["paddock", "playground", "up", "--hosts", "3"], env=environment, capture_output=True, text=True,
        timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["compose.md", "operations.md", "docker.md", "first-steps.md"])
def test_the_page_does_what_it_says(page: str, cluster: dict[str, str], tmp_path: Path) -> None:
    """first-steps.md comes last: it takes the playground down."""
    Reader(tmp_path, cluster).follow(DOCS / "guides" / page)


def test_nothing_is_left_behind(cluster: dict[str, str]) -> None:
    subprocess.run(["paddock", "playground", "down"], env=cluster, capture_output=True, timeout=120, check=True)
    assert not Path(cluster["PADDOCK_PLAYGROUND"]).exists()
