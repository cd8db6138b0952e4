"""Images of real programs, built from the machine's own packages: no registry, no `docker build`, the same bytes again.

They go by the names of the usual images and behave like them as far as a compose file can tell, so that a stack runs
unchanged where a registry is reached.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from paddock.model.errors import NotFound
from paddock.playground import archive, elf, machine, packages
from paddock.playground.archive import Directory, Entry, Tree

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMPILE_TIMEOUT_S = 120.0
CREATED = "2020-01-01T00:00:00Z"
DROPPED = re.compile(
    r"usr/share/(doc|man|locale|lintian|bug|info|applications|pixmaps|python3)/|usr/lib/(systemd|valgrind|tmpfiles\.d)/"
    r"|usr/lib/python3[^/]*/(test|idlelib|lib2to3|ensurepip|turtledemo|tkinter|pydoc_data|unittest/test"
    r"|config-[^/]*|dist-packages)/|etc/"
)
ALSO_LOADED = ("libgcc_s.so.1",)
"""What programs load by name while they run."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """`packages`: those asked for. `own`: which of what comes with them is the program; the rest is libraries."""

    tag: str
    packages: tuple[str, ...]
    own: str
    config: Mapping[str, object]
    directories: Mapping[str, int] = {}
    links: Mapping[str, str] = {}
    kept: tuple[str, ...] = ()
    """Files below etc/ to keep of the packages: of the others we bring our own."""


RECIPES: Mapping[str, Recipe] = {
    "busybox": Recipe(
        tag="busybox:latest",
        packages=("busybox-static",),
        own=r"busybox-static",
        config={"Cmd": ["sh"], "Env": [PATH]},
    ),
    "redis": Recipe(
        tag="redis:latest",
        packages=("redis-server", "redis-tools"),
        own=r"redis-(server|tools)",
        config={
            "Cmd": ["redis-server"],
            "Entrypoint": ["docker-entrypoint.sh"],
            "Env": [PATH],
            "ExposedPorts": {"6379/tcp": {}},
            "Volumes": {"/data": {}},
            "WorkingDir": "/data",
        },
        directories={"data": 0o755},
    ),
    "nginx": Recipe(
        tag="nginx:latest",
        packages=("nginx-light",),
        own=r"nginx(-light|-core|-common)?",
        config={
            "Cmd": ["nginx", "-g", "daemon off;"],
            "Entrypoint": ["/docker-entrypoint.sh"],
            "Env": [PATH],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
        },
        directories={"var/cache/nginx": 0o755, "var/log/nginx": 0o755},
        links={"var/log/nginx/access.log": "/dev/stdout", "var/log/nginx/error.log": "/dev/stderr"},
        kept=("etc/nginx/mime.types",),
    ),
    "python": Recipe(
        tag="python:3-slim",
        packages=("python3",),
        own=r"(lib)?python3(\.\d+)?(-minimal|-stdlib)?|media-types",
        config={"Cmd": ["python3"], "Env": [PATH, "LANG=C.UTF-8"]},
        links={"usr/bin/python": "python3", "usr/local/bin/python": "/usr/bin/python3"},
        kept=("etc/mime.types",),
    ),
}
NAMES = tuple(RECIPES)


def build(name: str, cache_dir: Path) -> Path:
    """The image as a tar that `docker load` takes. Whatever is missing of the whole set is built with it."""
    if name not in RECIPES:
        raise NotFound(f"no image is called '{name}'", hint=f"there are {', '.join(NAMES)}")
    cache_dir.mkdir(parents=True, exist_ok=True)
    debs = _resolved(cache_dir)
    folder = cache_dir / f"images-{_key(debs)}"
    wanted = folder / f"{name}.tar"
    if not wanted.is_file():
        packages.fetch(debs, cache_dir / "packages")
        _build_all({packages.name(deb): cache_dir / "packages" / deb for deb in debs}, folder)
        _forget_others(cache_dir, folder, debs)
    return wanted


class _Resolved(msgspec.Struct, frozen=True, kw_only=True):
    stamp: str
    debs: tuple[str, ...]


def _resolved(cache_dir: Path) -> tuple[str, ...]:
    """The packages needed, asked of apt only when it has learnt of new ones."""
    roots = tuple(package for recipe in RECIPES.values() for package in recipe.packages)
    stamp = f"{packages.stamp()} {_key(())}"
    file = cache_dir / "resolved.json"
    try:
        known = msgspec.json.decode(file.read_bytes(), type=_Resolved)
    except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
        known = None
    if known is None or known.stamp != stamp:
        own = re.compile("|".join(f"(?:{recipe.own})" for recipe in RECIPES.values()))
        names = [deb for deb in packages.resolve(roots) if _is_wanted(packages.name(deb), own)]
        known = _Resolved(stamp=stamp, debs=tuple(names))
        file.write_bytes(msgspec.json.encode(known))
    return known.debs


def _is_wanted(name: str, own: re.Pattern[str]) -> bool:
    return own.fullmatch(name) is not None or (
        name.startswith(("lib", "zlib")) and not name.endswith(("-perl", "-common"))
    )


def _key(debs: Sequence[str]) -> str:
    """Names the inputs: packages with their versions, our own files, these recipes."""
    known = hashlib.sha256(" ".join(debs).encode())
    room = resources.files("paddock.playground")
    for source in ("images.py", "archive.py", "elf.py", "packages.py"):
        known.update(room.joinpath(source).read_bytes())
    for path, file in _files_below(room.joinpath("rootfs"), ""):
        known.update(path.encode() + b"\0" + file.read_bytes())
    return known.hexdigest()[:16]


def _build_all(debs: Mapping[str, Path], folder: Path) -> None:
    content = {name: packages.content(deb) for name, deb in debs.items()}
    own = {name: _own_files(recipe, content) for name, recipe in RECIPES.items()}
    programs = tuple(name for name in RECIPES if name != "busybox")
    owned = re.compile("|".join(f"(?:{recipe.own})" for recipe in RECIPES.values()))
    libraries = {path: entry for name in content if not owned.fullmatch(name) for path, entry in content[name].items()}
    needs = {name: _libraries_for(own[name], libraries) for name in programs}
    shared = {path for path in libraries if sum(path in needs[name] for name in programs) > 1}
    own["python"] = _with_bytecode({path: libraries[path] for path in sorted(needs["python"])}, own["python"])
    base = archive.layer(_base(own["busybox"]))
    common = archive.layer({path: libraries[path] for path in sorted(shared)})
    folder.mkdir(parents=True, exist_ok=True)
    for name, recipe in RECIPES.items():
        layers = [base]
        if name != "busybox":
            rest = {path: libraries[path] for path in sorted(needs[name] - shared)}
            layers += [common, archive.layer({**rest, **own[name]})]
        archive.save(folder / f"{name}.tar", recipe.tag, _config(recipe), layers)


def _config(recipe: Recipe) -> dict[str, object]:
    architecture = machine.command(["dpkg", "--print-architecture"]).strip()
    return {"architecture": architecture, "os": "linux", "created": CREATED, "config": recipe.config}


def _own_files(recipe: Recipe, content: Mapping[str, Tree]) -> dict[str, Entry | Directory]:
    """The program as packaged, then our own files over it."""
    found: dict[str, Entry | Directory] = {}
    for name in sorted(content):
        if re.fullmatch(recipe.own, name):
            files = content[name].items()
            found.update({path: entry for path, entry in files if path in recipe.kept or not DROPPED.match(path)})
    found.update({path: Directory(mode=mode) for path, mode in recipe.directories.items()})
    found.update({path: Entry(link=target) for path, target in recipe.links.items()})
    ours = resources.files("paddock.playground").joinpath("rootfs", recipe.tag.partition(":")[0])
    if ours.is_dir():
        found.update(_entries(ours))
    return found


def _base(busybox: Tree) -> dict[str, Entry | Directory]:
    """The first layer of all images: a shell with its tools, users, and the places programs expect."""
    program = busybox["usr/bin/busybox"]
    assert isinstance(program, Entry)
    found: dict[str, Entry | Directory] = {short: Entry(link=long) for short, long in archive.MERGED.items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "busybox")
        file.write_bytes(program.data)
        file.chmod(0o755)
        for applet in machine.command([str(file), "--list-full"]).split():
            found[archive.place(applet)] = Entry(link="/usr/bin/busybox")
    found["usr/bin/busybox"] = program
    for path, mode in {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}.items():
        found[path] = Directory(mode=mode)
    for path in (*archive.MERGED.values(), "home", "run", "usr/local/bin", "var/log", "var/www"):
        found[path] = Directory()
    found["var/run"] = Entry(link="/run")
    found.update(_entries(resources.files("paddock.playground").joinpath("rootfs", "base")))
    return found


def _libraries_for(own: Tree, libraries: Tree) -> set[str]:
    """Paths of all libraries that these programs load, and those that they load in turn."""
    by_name = {path.rpartition("/")[2]: path for path in sorted(libraries)}
    found: set[str] = set()
    asked = [name for entry in own.values() if isinstance(entry, Entry) for name in elf.needed(entry.data)]
    asked += ALSO_LOADED
    while asked:
        name = asked.pop()
        # The loader is asked for by its place, and often is a link to another place of the same name.
        path = archive.place(name) if archive.place(name) in libraries else by_name.get(name.rpartition("/")[2])
        if path is None or path in found:
            continue
        found.add(path)
        entry = libraries[path]
        if isinstance(entry, Entry) and entry.link is not None:
            asked.append(entry.link)
        elif isinstance(entry, Entry):
            asked += elf.needed(entry.data)
    return found


def _with_bytecode(libraries: Tree, own: Tree) -> dict[str, Entry | Directory]:
    """Compiles the standard library by the very Python that will run it, so that programs start at once."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for short, long in archive.MERGED.items():
            (root / long).mkdir(parents=True)
            (root / short).symlink_to(long)
        for path, entry in {**libraries, **own}.items():
            _write(root / path, entry)
        compiling = [
            "python3",
            "-I",
            "-B",
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            "/usr/lib",
        ]
        env = {"PYTHONHASHSEED": "0", "PATH": machine.SYSTEM_PATH}
        machine.command(["chroot", folder, *compiling], env=env, timeout_s=COMPILE_TIMEOUT_S)
        compiled = {str(file.relative_to(root)): Entry(data=file.read_bytes()) for file in root.rglob("*.pyc")}
    return {**own, **compiled}


def _write(file: Path, entry: Entry | Directory) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(entry, Directory):
        file.mkdir(exist_ok=True)
    elif entry.link is not None:
        file.symlink_to(entry.link)
    else:
        file.write_bytes(entry.data)
        file.chmod(entry.mode)


def _entries(folder: Traversable) -> dict[str, Entry | Directory]:
    """Our own files; scripts may be executed whatever way we were installed."""
    return {
        path: Entry(data=file.read_bytes(), mode=0o755 if path.endswith(".sh") else 0o644)
        for path, file in _files_below(folder, "")
    }


def _files_below(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _files_below(item, f"{prefix}{item.name}/")
        else:
            yield prefix + item.name, item


def _forget_others(cache_dir: Path, folder: Path, debs: Sequence[str]) -> None:
    """The cache holds one set of images and its packages."""
    for other in cache_dir.glob("images-*"):
        if other != folder:
            shutil.rmtree(other)
    for deb in (cache_dir / "packages").glob("*.deb"):
        if deb.name not in debs:
            deb.unlink()
