"""Debian and Ubuntu packages as a source of files: resolved and fetched by apt, never installed."""

from __future__ import annotations

import re
import subprocess
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from paddock.model.errors import UserError
from paddock.playground import machine
from paddock.playground.archive import Directory, Entry, read_tar

LISTS = Path("/var/lib/apt/lists")
RESOLVE_TIMEOUT_S = 60.0
FETCH_TIMEOUT_S = 300.0
QUIET = ("-q", "-o", "APT::Sandbox::User=root")
HINT = "run apt-get update; the images are built from packages of the machine's own mirror"


def stamp() -> str:
    """Changes when apt learns of new packages."""
    times = [path.stat().st_mtime_ns for path in (LISTS, *LISTS.glob("*Packages*"))] if LISTS.is_dir() else [0]
    return str(max(times))


def resolve(wanted: Sequence[str]) -> tuple[str, ...]:
    """File names (`name_version_arch.deb`) of the packages and all they depend on, as if nothing were installed."""
    nothing_installed = ("-o", "Dir::State::status=/dev/null", "--no-install-recommends", "--simulate")
    try:
        said = machine.command(["apt-get", *QUIET, *nothing_installed, "install", *wanted], timeout_s=RESOLVE_TIMEOUT_S)
    except UserError as error:
        raise UserError(f"apt cannot find {', '.join(wanted)}: {error.message}", hint=HINT) from None
    found = re.findall(r"^Inst (\S+) \((\S+) .*\[(\w+)\]\)", said, re.MULTILINE)
    return tuple(
        sorted(f"{name}_{version.replace(':', '%3a')}_{architecture}.deb" for name, version, architecture in found)
    )


def name(file: str) -> str:
    return file.partition("_")[0]


def fetch(files: Sequence[str], folder: Path) -> None:
    """Puts the packages into `folder`, those that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if not (folder / file).is_file()]
    if not missing:
        return
    exact = [f"{name(file)}={urllib.parse.unquote(file.split('_')[1])}" for file in missing]
    try:
        subprocess.run(
            ["apt-get", *QUIET, "download", *exact],
            cwd=folder, check=True, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(f"apt did not fetch {len(missing)} packages within {FETCH_TIMEOUT_S:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise UserError(f"apt cannot fetch packages: {' '.join(error.stderr.split())[-400:]}", hint=HINT) from None


def content(deb: Path) -> dict[str, Entry | Directory]:
    """The files of a package, in memory."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        found = read_tar(unpacking.stdout)
        unpacking.stdout.read()
    if unpacking.returncode:
        raise UserError(f"{deb} is damaged", hint="remove it and try again")
    return found
