"""What a compose model wants built, as the engine's build API takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from paddock.model.errors import Problem

from .container import COMPOSE_VERSION
from .findings import Findings, Json, Path, dotted
from .quantities import whole

_REMOTE = ("https://", "http://", "git://", "git@", "ssh://", "github.com/")
_BUILDKIT = "needs a BuildKit session with the machine you are on"
_INSTEAD = "build it with `paddock docker buildx` or `paddock compose build`, then `paddock up --no-build`"
_REFUSED: dict[str, tuple[str, str]] = {
    "additional_contexts": (_BUILDKIT, _INSTEAD),
    "entitlements": (_BUILDKIT, _INSTEAD),
    "secrets": (_BUILDKIT, _INSTEAD),
    "ssh": (_BUILDKIT, _INSTEAD),
    "privileged": ("is not possible: builders run steps without privileges", "leave it away"),
}
_NOTED = {"cache_to": "has no effect: the builder keeps its own cache"}


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """One service's image to be built. `context` is a directory here, or an address that the builder fetches itself.

    `dockerfile` is as written: relative to the context, or absolute; `inline` instead of it is its content. `options`
    are query parameters of `POST /build`. `pull_policy` and `named` (the service has an `image:` of its own) say what
    may be done instead of building.
    """

    service: str
    image: str
    context: str
    dockerfile: str = "Dockerfile"
    inline: str | None = None
    options: dict[str, str | tuple[str, ...]] = {}
    tags: tuple[str, ...] = ()
    pull_policy: str = ""
    named: bool = False
    after: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def remote(self) -> bool:
        return self.context.startswith(_REMOTE)


def image_of(config: Json, project: str, service: str) -> str:
    return str(config.get("image") or f"{project}-{service}")


def builds_of(model: Json, findings: Findings, platform: str) -> tuple[Build, ...]:
    """Those that others depend on come first. `platform`: of services that say none."""
    services: Mapping[str, Json] = model.get("services") or {}
    found = {
        name: _build(model["name"], name, services[name], findings, platform)
        for name in sorted(services)
        if services[name].get("build")
    }
    return tuple(_ordered(found))


def _ordered(builds: Mapping[str, Build]) -> Iterator[Build]:
    done: dict[str, None] = {}

    def visit(name: str) -> Iterator[Build]:
        if name in done or name not in builds:
            return
        done[name] = None
        for other in builds[name].after:
            yield from visit(other)
        yield builds[name]

    for name in builds:
        yield from visit(name)


def _build(project: str, name: str, config: Json, findings: Findings, platform: str) -> Build:
    build: Json = config["build"]
    path: Path = ("services", name, "build")
    for key, note in _NOTED.items():
        if build.get(key):
            findings.warn((*path, key), note)
    return Build(
        service=name,
        image=image_of(config, project, name),
        context=str(build.get("context") or "."),
        dockerfile=str(build.get("dockerfile") or "Dockerfile"),
        inline=build.get("dockerfile_inline"),
        options=_options(build, project, name, str(config.get("platform") or platform)),
        tags=tuple(build.get("tags") or ()),
        pull_policy=str(config.get("pull_policy") or ""),
        named=bool(config.get("image")),
        after=tuple(sorted(config.get("depends_on") or {})),
        problems=tuple(_problems(build, path, findings)),
    )


def _problems(build: Json, path: Path, findings: Findings) -> Iterator[Problem]:
    for key, (message, hint) in _REFUSED.items():
        if build.get(key):
            yield _problem((*path, key), message, hint, findings)
    if len(build.get("platforms") or ()) > 1:
        hint = "keep one, or build it with `paddock docker buildx`"
        yield _problem((*path, "platforms"), "are several, and an engine keeps an image of one", hint, findings)
    if build.get("isolation") not in (None, "", "default"):
        yield _problem((*path, "isolation"), "is for Windows containers", "leave it away", findings)


def _problem(path: Path, message: str, hint: str, findings: Findings) -> Problem:
    file, line = findings.origins.place(path)
    return Problem(message=message, file=file, line=line, field=dotted(path), hint=hint)


def _options(build: Json, project: str, service: str, platform: str) -> dict[str, str | tuple[str, ...]]:
    """Labels as docker compose puts them on what it builds."""
    labels = {key: str(value) for key, value in (build.get("labels") or {}).items()}
    labels["com.docker.compose.project"] = project
    labels["com.docker.compose.service"] = service
    labels["com.docker.compose.version"] = COMPOSE_VERSION
    args = {key: str(value) for key, value in (build.get("args") or {}).items() if value is not None}
    found: dict[str, str | tuple[str, ...]] = {
        "labels": _json(labels),
        "buildargs": _json(args),
        "target": str(build.get("target") or ""),
        "cachefrom": _json(list(build.get("cache_from") or ())),
        "networkmode": str(build.get("network") or ""),
        "shmsize": str(whole(build.get("shm_size")) or ""),
        "extrahosts": tuple(str(host).replace("=", ":", 1) for host in build.get("extra_hosts") or ()),
        "platform": next(iter(build.get("platforms") or ()), platform),
        "ulimits": _json(_ulimits(build.get("ulimits") or {})),
        "nocache": "1" if build.get("no_cache") else "",
        "pull": "1" if build.get("pull") else "",
    }
    return {key: value for key, value in found.items() if value not in ("", (), "[]", "{}")}


def _ulimits(limits: Json) -> list[dict[str, Any]]:
    found = []
    for name in sorted(limits):
        limit = limits[name]
        soft, hard = (limit["soft"], limit["hard"]) if isinstance(limit, Mapping) else (limit, limit)
        found.append({"Name": name, "Soft": int(soft), "Hard": int(hard)})
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
