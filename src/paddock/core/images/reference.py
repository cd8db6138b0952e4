"""Names of images as the engine reads them (distribution/reference): familiar forms, tags, digests, ids."""

from __future__ import annotations

import re
from typing import NamedTuple

from paddock.model.errors import UserError

_HUB = ("docker.io", "index.docker.io")
_LIBRARY = "library/"
DOCKER_HUB = "docker.io"
_HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_REPOSITORY = re.compile(
    r"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
MOST_LETTERS = 255


class Reference(NamedTuple):
    """`repository` in its familiar form: no docker.io, no library. One of `tag` and `digest` may be given, or both."""

    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        text = f"{self.repository}:{self.tag}" if self.tag else self.repository
        return f"{text}@{self.digest}" if self.digest else text


def parse(text: str) -> Reference:
    """Raises `UserError` in the engine's words. No tag is put where none was given."""
    rest, at, digest = text.partition("@")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = rest, ""
    wrong = (
        not _REPOSITORY.fullmatch(repository)
        or (colon and not tag and rest.endswith(":"))
        or (tag and not _TAG.fullmatch(tag))
        or (at and not _DIGEST.fullmatch(digest))
        or len(repository) > MOST_LETTERS
    )
    if wrong:
        raise UserError(f"invalid reference format: {text!r}")
    return Reference(_familiar(repository), tag, digest)


def _familiar(repository: str) -> str:
    domain, slash, rest = repository.partition("/")
    if slash and domain in _HUB:
        return rest.removeprefix(_LIBRARY) if rest.count("/") == 1 else rest
    return repository


def tagged(text: str) -> str:
    """The one form of a name that means an image: `busybox`, `docker.io/library/busybox` -> `busybox:latest`.

    What is no name, such as an id, stays as it is.
    """
    try:
        found = parse(text)
    except UserError:
        return text
    if found.digest:
        return f"{found.repository}@{found.digest}"
    return str(found if found.tag else found._replace(tag="latest"))


def registry_of(text: str) -> str:
    """Where an image comes from: `docker.io`, `registry.example.com:5000`."""
    domain, slash, _ = text.partition("/")
    if slash and (domain == "localhost" or any(letter in domain for letter in ".:")):
        return registry_named(domain)
    return DOCKER_HUB


def registry_named(address: str) -> str:
    """However it is written: `https://index.docker.io/v1/` -> `docker.io`."""
    host = address.partition("://")[2] or address
    host = host.partition("/")[0].lower()
    return DOCKER_HUB if host in _HUB_HOSTS else host


def retagged(text: str, tag: str) -> str:
    """The name with this tag or digest in place of what it has; unchanged without one, and if it is no name."""
    try:
        found = parse(text)
    except UserError:
        return text
    if not tag:
        return text
    return str(found._replace(tag="", digest=tag) if ":" in tag else found._replace(tag=tag, digest=""))


def id_prefix(text: str) -> str:
    """The hexadecimal digits when this may be an image's id or its beginning, else ""."""
    found = _ID.fullmatch(text)
    return found.group(1) if found else ""
