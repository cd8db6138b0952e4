"""What `./quickstart` says on a machine it cannot work on: one sentence, what to do, exit 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = "bash sh cut sed grep dirname basename readlink id uname df tail tr env".split()  # noqa: SIM905

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TRIED: only root becomes somebody else")


@pytest.fixture
def clone() -> Iterator[Path]:
    """The scripts alone, where anybody may read them."""
    folder = Path(tempfile.mkdtemp(prefix="paddock-clone-"))
    folder.chmod(0o755)
    (folder / "scripts").mkdir(mode=0o755)
    for name in ("quickstart", "scripts/packages", "scripts/venv"):
        shutil.copy(ROOT / name, folder / name)
    yield folder
    shutil.rmtree(folder)


def tools(clone: Path, **scripts: str) -> dict[str, str]:
    """A PATH of a few ordinary programs, and of `scripts` in the place of some."""
    bin = clone / "bin"
    bin.mkdir(mode=0o755)
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (bin / name).symlink_to(found)
    (bin / "python3").symlink_to(sys.executable)
    for name, text in scripts.items():
        (bin / name).unlink(missing_ok=True)
        (bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin / name).chmod(0o755)
    return {"PATH": str(bin), "LANG": "C.UTF-8"}


def refused(clone: Path, *words: str, environment: dict[str, str] | None = None, user: str | None = None) -> str:
    """-> the one line it said."""
    return refused_by(clone / "quickstart", *words, environment=environment, user=user)


def refused_by(script: Path, *words: str, environment: dict[str, str] | None = None, user: str | None = None) -> str:
    done = subprocess.run(
        [str(script), *words], env=environment, user=user, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_an_unknown_option(clone: Path) -> None:
    assert refused(clone, "--up") == "quickstart: there is only one option: --down"


@needs_root
def test_not_root(clone: Path) -> None:
    assert refused(clone, user="nobody").endswith("so it needs root: sudo ./quickstart")


def test_not_linux(clone: Path) -> None:
    assert "needs Linux" in refused(clone, environment=tools(clone, uname="echo Darwin"))


@needs_root
def test_no_space(clone: Path) -> None:
    line = refused(clone, environment=tools(clone, df="echo Avail; echo 100"))
    assert "2 GiB of disk are needed here and 100 MiB are free" in line


def test_neither_debian_nor_ubuntu(clone: Path) -> None:
    line = refused_by(clone / "scripts" / "packages", "engine", environment=tools(clone))
    assert line.startswith("packages: this is not Debian or Ubuntu; install these yourself: docker.io")


def test_no_package_index(clone: Path) -> None:
    """pip's own errors are shown, its warnings are not, and the last line says what was wanted."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, clone / name)
    (clone / ".venv" / "bin").mkdir(parents=True)
    pip = '#!/bin/sh\ncase "$*" in *-qq*) ;; *) echo "WARNING: noise" >&2 ;; esac\necho "ERROR: no index" >&2\nexit 1\n'
    (clone / ".venv" / "bin" / "pip").write_text(pip)
    (clone / ".venv" / "bin" / "pip").chmod(0o755)
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    done = subprocess.run([clone / "scripts" / "venv"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    first, last = done.stderr.splitlines()
    assert first == "ERROR: no index"
    assert last.startswith("venv: pip could not install what pyproject.toml names")
