"""File trees in memory, and the tars made of them: the same tree gives the same bytes, always."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

FILE_TIME_S = 1_577_836_800
"""2020-01-01: every file of every image has this time."""

MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
"""Packages disagree on these; in our trees the short ones are links."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file (`link` None) or a symbolic link."""

    data: bytes = b""
    mode: int = 0o644
    link: str | None = None


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    mode: int = 0o755


Tree = Mapping[str, Entry | Directory]
"""Path without a leading slash -> what is there. Parents need not be named."""


def place(path: str) -> str:
    """The one spelling of a path in our trees."""
    parts = PurePosixPath(path.lstrip("./")).parts
    return str(PurePosixPath(MERGED.get(parts[0], parts[0]), *parts[1:])) if parts else ""


def read_tar(stream: IO[bytes]) -> dict[str, Entry | Directory]:
    """What a package holds. Hard links become copies; devices are left out."""
    found: dict[str, Entry | Directory] = {}
    with tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            path = place(member.name)
            if member.isfile():
                content = tar.extractfile(member)
                found[path] = Entry(data=content.read() if content else b"", mode=stat.S_IMODE(member.mode))
            elif member.issym():
                found[path] = Entry(link=member.linkname)
            elif member.islnk():
                found[path] = found[place(member.linkname)]
    return found


def follow(tree: Tree, path: str) -> Entry | None:
    """The file behind a chain of links that stay within the tree."""
    for _ in range(8):
        entry = tree.get(path)
        if not isinstance(entry, Entry) or entry.link is None:
            return entry if isinstance(entry, Entry) else None
        target = entry.link if entry.link.startswith("/") else f"{PurePosixPath(path).parent}/{entry.link}"
        path = place(_normal(target))
    return None


def layer(tree: Tree) -> bytes:
    """An uncompressed layer."""
    whole: dict[str, Entry | Directory] = {}
    for path in tree:
        for parent in PurePosixPath(path).parents:
            whole.setdefault(str(parent), Directory())
    whole.update(tree)
    whole.pop(".", None)
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(whole):
            _add(tar, path, whole[path])
    return written.getvalue()


def save(file: Path, tag: str, config: Mapping[str, object], layers: Iterable[bytes]) -> None:
    """Writes what `docker load` reads. `config` lacks only the layers' digests."""
    named = [(hashlib.sha256(content).hexdigest(), content) for content in layers]
    whole = {**config, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest, _ in named]}}
    image = msgspec.json.encode(whole, order="sorted")
    image_name = f"{hashlib.sha256(image).hexdigest()}.json"
    manifest = [{"Config": image_name, "RepoTags": [tag], "Layers": [f"{digest}/layer.tar" for digest, _ in named]}]
    draft = file.with_name(f".{file.name}.new")
    with tarfile.open(draft, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for digest, content in named:
            _add(tar, f"{digest}/layer.tar", Entry(data=content))
        _add(tar, image_name, Entry(data=image))
        _add(tar, "manifest.json", Entry(data=msgspec.json.encode(manifest, order="sorted")))
    draft.replace(file)


def _add(tar: tarfile.TarFile, path: str, entry: Entry | Directory) -> None:
    info = tarfile.TarInfo(path)
    info.mtime = FILE_TIME_S
    match entry:
        case Directory():
            info.type, info.mode = tarfile.DIRTYPE, entry.mode
        case Entry(link=str()):
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, entry.link or ""
        case Entry():
            info.size, info.mode = len(entry.data), entry.mode
    tar.addfile(info, io.BytesIO(entry.data) if isinstance(entry, Entry) and entry.link is None else None)


def _normal(path: str) -> str:
    kept: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == "..":
            del kept[-1:]
        elif part != "/":
            kept.append(part)
    return "/".join(kept)
