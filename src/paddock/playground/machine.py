"""The machine a playground stands on: is it fit, what is already taken, and its programs run with an end."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from paddock.model.errors import UserError

COMMAND_TIMEOUT_S = 30.0
FREE_MIB_MIN = 512
SOCKET_PATH_MAX = 107
"""Linux refuses longer Unix socket paths."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "docker-init": "docker.io or tini",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
}
NOT_LINUX = "a playground needs Linux: its hosts are Linux namespaces"
NOT_ROOT = "a playground needs root: it makes network and process namespaces"


def command(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> str:
    """Runs a program of the machine, returns what it printed. Raises UserError with its own words when it fails."""
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, errors="replace", env=env, timeout=timeout_s, **given
        )
    except FileNotFoundError:
        raise UserError(
            f"{argv[0]} is not installed", hint=f"apt-get install {PACKAGES.get(argv[0], argv[0])}"
        ) from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{' '.join(argv[:4])} did not end within {timeout_s:.0f} s") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise UserError(f"{' '.join(argv[:4])} failed: {said or f'exit {done.returncode}'}")
    return str(done.stdout)


def search_path(engine_dir: str | None) -> str:
    """PATH of the hosts' processes: the chosen engine's programs come first."""
    return f"{engine_dir}:{SYSTEM_PATH}" if engine_dir else SYSTEM_PATH


def check_rights() -> None:
    if sys.platform != "linux":
        raise UserError(NOT_LINUX, hint="use a Linux machine or a virtual one")
    if os.geteuid() != 0:
        raise UserError(NOT_ROOT, hint="run it with sudo")


def check_fit(root: Path, engine_dir: str | None) -> None:
    """Raises UserError for the first thing that would keep hosts from coming up under `root`."""
    check_rights()
    missing = [tool for tool in PACKAGES if shutil.which(tool, path=search_path(engine_dir)) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[tool].split(" or ")[0] for tool in missing))
        where = f" (looked in {engine_dir} too)" if engine_dir else ""
        raise UserError(f"{', '.join(missing)} not found{where}", hint=f"apt-get install {packages}")
    if len(f"{root}/hosts/h31/run/docker.sock") > SOCKET_PATH_MAX:
        raise UserError(f"{root} is too long a path for the engines' sockets", hint="choose a shorter root directory")
    if not any(line.split()[-1] == "overlay" for line in Path("/proc/filesystems").read_text().splitlines()):
        command(["modprobe", "overlay"])
    existing = next(path for path in (root, *root.parents) if path.is_dir())
    if filesystem(existing) == "overlay":
        raise UserError(
            f"{existing} is on overlayfs, where an engine cannot keep images",
            hint="choose a root on a real disk or a volume",
        )
    free_mib = shutil.disk_usage(existing).free >> 20
    if free_mib < FREE_MIB_MIN:
        raise UserError(
            f"{existing} has {free_mib} MiB free, a playground needs {FREE_MIB_MIN}",
            hint="free some, or choose another root",
        )


def filesystem(path: Path) -> str:
    """Type of the file system that holds `path`, from the longest mount point above it."""
    best = ("", "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if path.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


class Route(msgspec.Struct, frozen=True):
    dst: str = ""
    dev: str = ""


def routes() -> tuple[Route, ...]:
    found = msgspec.json.decode(
        command(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]", type=list[Route]
    )
    return tuple(found)


def owner_of(wanted: ipaddress.IPv4Network, own_link: str) -> str | None:
    """Names the link whose routes overlap `wanted`, if any but our own does."""
    for route in routes():
        if route.dst in ("default", "") or route.dev in ("lo", own_link):
            continue
        if ipaddress.IPv4Network(route.dst, strict=False).overlaps(wanted):
            return f"{route.dst} on {route.dev or 'this machine'}"
    return None


def engine_dir_from(environ: Mapping[str, str]) -> str | None:
    """PADDOCK_ENGINE_DIR, checked: it must hold a whole engine, or two versions would be mixed in silence."""
    given = environ.get("PADDOCK_ENGINE_DIR")
    if not given:
        return None
    folder = Path(given).absolute()
    wanted = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-init")
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        raise UserError(f"PADDOCK_ENGINE_DIR={given} lacks {', '.join(missing)}", hint="put them there, or unset it")
    return str(folder)
