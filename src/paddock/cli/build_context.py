"""A directory as the context of a build: what `.dockerignore` leaves of it, as a tar, piece by piece."""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from paddock.core.images.ignore import Ignore, Matches, patterns_of
from paddock.core.stack.builds import Build
from paddock.model.errors import UserError

PIECE_BYTES = 256 * 1024
MOST_DOCKERFILE_BYTES = 2**20
IGNORE = ".dockerignore"
_BLOCK = 512


class Context(NamedTuple):
    """`dockerfile` is its name in the context, `text` its content. `added`: name -> content that the directory has not,
    or has otherwise."""

    root: str
    dockerfile: str
    text: str
    ignore: Ignore
    added: dict[str, bytes]


def context_of(build: Build) -> Context:
    """Raises `UserError` for a directory, Dockerfile or `.dockerignore` that cannot be read."""
    root = build.context
    if not os.path.isdir(root):
        raise UserError(f"{build.service}: the build context {root} is not a directory here")
    name, content = _dockerfile(build, root)
    lines, ignored = _ignored(build, root, name)
    added: dict[str, bytes] = {}
    if not name:
        name = f".dockerfile.{hashlib.sha256(content).hexdigest()[:16]}"
        hidden = [] if ignored else [IGNORE]
        added = {name: content, IGNORE: "\n".join([*lines, *hidden, name, ""]).encode()}
    try:
        ignore = Ignore(patterns_of("\n".join(lines)))
    except ValueError as error:
        raise UserError(f"{build.service}: {os.path.join(root, IGNORE)}: {error}") from error
    return Context(root, name, content.decode("utf-8", "replace"), ignore, added)


def _dockerfile(build: Build, root: str) -> tuple[str, bytes]:
    """Its name in the context, "" if it is not in it, and its content."""
    if build.inline is not None:
        return "", build.inline.encode()
    path = os.path.normpath(os.path.join(root, build.dockerfile))
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_DOCKERFILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"{build.service}: the Dockerfile {path} cannot be read: {error.strerror}") from error
    if len(content) > MOST_DOCKERFILE_BYTES:
        raise UserError(f"{build.service}: {path} is too large for a Dockerfile")
    inside = os.path.relpath(path, root)
    return ("" if inside.startswith(os.pardir + os.sep) else inside.replace(os.sep, "/")), content


def _ignored(build: Build, root: str, name: str) -> tuple[list[str], bool]:
    """The lines that say what is left out, and whether the context has a `.dockerignore`. One of the Dockerfile's own
    goes before it."""
    own = os.path.join(root, build.dockerfile) + IGNORE
    for path in (own, os.path.join(root, IGNORE)):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read().splitlines(), os.path.exists(os.path.join(root, IGNORE))
        except OSError:
            continue
    return [], False


def for_buildkit(context: Context) -> Context:
    """It takes the context as it is, and needs nothing hidden from it."""
    return context._replace(added={name: content for name, content in context.added.items() if name != IGNORE})


def _needed(context: Context) -> tuple[str, ...]:
    """The builder wants them whatever is left out."""
    return context.dockerfile, IGNORE


def tar_pieces(context: Context) -> Iterator[bytes]:
    """Owned by root, as docker sends it. Raises `UserError` when a file cannot be read or changes meanwhile."""
    pending = bytearray()
    for piece in _entries(context):
        pending += piece
        if len(pending) >= PIECE_BYTES:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending) + bytes(2 * _BLOCK)


def _entries(context: Context) -> Iterator[bytes]:
    for name, content in context.added.items():
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o600
        yield _head(info) + content + bytes(-len(content) % _BLOCK)
    yield from _below(context, "", context.ignore.nothing)


def _below(context: Context, directory: str, above: Matches) -> Iterator[bytes]:
    with os.scandir(os.path.join(context.root, directory)) as found:
        names = sorted(entry.name for entry in found)
    for name in names:
        path = posixpath.join(directory, name)
        if path in context.added:
            continue
        out, fits = context.ignore.decide(path, above)
        out = out and path not in _needed(context)
        whole = os.path.join(context.root, path)
        seen = os.lstat(whole)
        if not out:
            yield from _entry(whole, path, seen)
        if stat.S_ISDIR(seen.st_mode) and (not out or _wanted_below(context, path)):
            yield from _below(context, path, fits)


def _wanted_below(context: Context, directory: str) -> bool:
    return context.ignore.may_keep_below(directory) or context.dockerfile.startswith(directory + "/")


def _entry(whole: str, path: str, seen: os.stat_result) -> Iterator[bytes]:
    """Sockets and devices are left out: no image can have the one, and no build needs the other."""
    info = tarfile.TarInfo(path)
    info.mode, info.mtime = stat.S_IMODE(seen.st_mode), int(seen.st_mtime)
    if stat.S_ISDIR(seen.st_mode):
        info.type = tarfile.DIRTYPE
        yield _head(info)
    elif stat.S_ISLNK(seen.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(whole)
        yield _head(info)
    elif stat.S_ISFIFO(seen.st_mode):
        info.type = tarfile.FIFOTYPE
        yield _head(info)
    elif stat.S_ISREG(seen.st_mode):
        info.size = seen.st_size
        yield _head(info)
        yield from _content(whole, info.size)


def _head(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(whole: str, size: int) -> Iterator[bytes]:
    left = size
    with open(whole, "rb") as file:
        while left:
            data = file.read(min(left, PIECE_BYTES))
            if not data:
                raise UserError(f"{whole} became shorter while it was sent", hint="try again when nothing writes to it")
            left -= len(data)
            yield data
    yield bytes(-size % _BLOCK)


async def sent(context: Context) -> AsyncIterator[bytes]:
    """`tar_pieces`, read on a thread."""
    pieces = tar_pieces(context)
    while True:
        piece = await asyncio.to_thread(next, pieces, None)
        if piece is None:
            return
        yield piece
