"""References between objects of a bound project, and values that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from .decode import Json
from .report import nearest

Service: TypeAlias = "dict[str, Json]"
Services: TypeAlias = "Mapping[str, Service]"
Sections: TypeAlias = "Mapping[str, Mapping[str, Service]]"
Finding: TypeAlias = tuple[tuple[str | int, ...], str, str]  # path, message, hint


def check(services: Services, disabled: Services, sections: Sections) -> Iterator[Finding]:
    """Everything that does not fit together; `sections` holds the top-level resources."""
    for name, service in services.items():
        for each in _CHECKS:
            for path, message, hint in each(service, services, disabled, sections):
                yield ("services", name, *path), message, hint
    for name, secret in sections.get("secrets", {}).items():
        if not secret.get("external") and not secret.get("file") and not secret.get("environment"):
            yield ("secrets", name), "must declare either `file` or `environment`", ""
    yield from _cycles(services)


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _missing(name: str, services: Services, disabled: Services) -> tuple[str, str] | None:
    if name in services:
        return None
    if name in disabled:
        profiles = ", ".join(_text(item) for item in _items(disabled[name].get("profiles")))
        return f"needs service {name!r}, which is disabled", f"enable it with one of its profiles: {profiles}"
    return f"refers to undefined service {name!r}", nearest(name, services)


def _image(service: Service, *_: object) -> Iterator[Finding]:
    if "build" not in service and not service.get("image") and "provider" not in service:
        yield (), "has neither an image nor a build context specified", "add `image:` or `build:`"


def _build(service: Service, services: Services, disabled: Services, sections: Sections) -> Iterator[Finding]:
    build = _mapping(service.get("build"))
    if build.get("dockerfile") and build.get("dockerfile_inline"):
        yield ("build",), "declares mutually exclusive dockerfile and dockerfile_inline", ""
    for key, context in _mapping(build.get("additional_contexts")).items():
        target = _text(context)
        if not target.startswith("service:"):
            continue
        target = target.removeprefix("service:")
        missing = _missing(target, services, disabled)
        if missing:
            yield ("build", "additional_contexts", key), *missing
        elif "build" not in services[target]:
            yield ("build", "additional_contexts", key), f"service {target!r} is not built, so it is no context", ""
    platforms, platform = _items(build.get("platforms")), service.get("platform")
    if platforms and platform and platform not in platforms:
        yield ("build", "platforms"), f"must include the service's platform {platform!r}", ""
    yield from _sources(build, "secrets", ("build", "secrets"), sections)


def _sources(owner: Service, section: str, path: tuple[str, ...], sections: Sections) -> Iterator[Finding]:
    known = sections.get(section, {})
    for index, item in enumerate(_items(owner.get(section))):
        source = _text(_mapping(item).get("source"))
        if source not in known:
            yield (*path, index), f"refers to undefined {section[:-1]} {source!r}", nearest(source, known)


def _files(service: Service, _services: Services, _disabled: Services, sections: Sections) -> Iterator[Finding]:
    yield from _sources(service, "configs", ("configs",), sections)
    yield from _sources(service, "secrets", ("secrets",), sections)


def _networks(service: Service, services: Services, disabled: Services, sections: Sections) -> Iterator[Finding]:
    mode, networks = _text(service.get("network_mode")), _mapping(service.get("networks"))
    if mode and networks:
        yield ("networks",), "network_mode and networks are mutually exclusive", ""
    for name in networks:
        if name not in sections.get("networks", {}):
            yield (
                ("networks", name),
                f"refers to undefined network {name!r}",
                nearest(name, sections.get("networks", {})),
            )
    if mode.startswith("service:"):
        missing = _missing(mode.removeprefix("service:"), services, disabled)
        if missing:
            yield ("network_mode",), *missing


def _volumes(service: Service, _services: Services, _disabled: Services, sections: Sections) -> Iterator[Finding]:
    known = sections.get("volumes", {})
    for index, item in enumerate(_items(service.get("volumes"))):
        mount = _mapping(item)
        source = _text(mount.get("source"))
        if mount.get("type") == "volume" and source and source not in known:
            hint = (
                nearest(source, known) or f"declare it under the top-level `volumes:`, or write ./{source} for a path"
            )
            yield ("volumes", index), f"refers to undefined volume {source!r}", hint


def _models(service: Service, _services: Services, _disabled: Services, sections: Sections) -> Iterator[Finding]:
    for name in _mapping(service.get("models")):
        if name not in sections.get("models", {}):
            yield ("models", name), f"refers to undefined model {name!r}", nearest(name, sections.get("models", {}))


def _healthcheck(service: Service, *_: object) -> Iterator[Finding]:
    test = _items(_mapping(service.get("healthcheck")).get("test"))
    if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
        yield ("healthcheck", "test"), 'must start either by "CMD", "CMD-SHELL" or "NONE"', ""


def _dependencies(service: Service, services: Services, disabled: Services, _: Sections) -> Iterator[Finding]:
    for name, dependency in _mapping(service.get("depends_on")).items():
        missing = _missing(name, services, disabled)
        optional = name in disabled and not _mapping(dependency).get("required")
        if missing and not optional:
            yield ("depends_on", name), *missing


def _amounts(service: Service, *_: object) -> Iterator[Finding]:
    if "deploy" not in service:
        return
    deploy = _mapping(service["deploy"])
    resources = _mapping(deploy.get("resources"))
    if "scale" in service and "replicas" in deploy and service["scale"] != deploy["replicas"]:
        yield ("scale",), "'scale' and 'deploy.replicas' must not differ", ""
    for key, kind, name in (
        ("cpus", "limits", "cpus"),
        ("mem_limit", "limits", "memory"),
        ("mem_reservation", "reservations", "memory"),
        ("pids_limit", "limits", "pids"),
    ):
        if key in service and kind in resources and _mapping(resources[kind]).get(name) != service[key]:
            yield (key,), f"'{key}' and 'deploy.resources.{kind}.{name}' must not differ", ""


def _container_name(service: Service, *_: object) -> Iterator[Finding]:
    replicas = service.get("scale", _mapping(service.get("deploy")).get("replicas", 1))
    if service.get("container_name") and isinstance(replicas, int) and replicas > 1:
        yield ("container_name",), "must be unique, so the service cannot have more than one container", ""


def _watch(service: Service, *_: object) -> Iterator[Finding]:
    for index, item in enumerate(_items(_mapping(service.get("develop")).get("watch"))):
        trigger = _mapping(item)
        if not trigger.get("target") and trigger.get("action") not in ("rebuild", "restart"):
            yield ("develop", "watch", index), "target is required for non-rebuild actions", ""


_CHECKS: tuple[Callable[[Service, Services, Services, Sections], Iterator[Finding]], ...] = (
    _image,
    _build,
    _networks,
    _healthcheck,
    _dependencies,
    _volumes,
    _files,
    _models,
    _amounts,
    _container_name,
    _watch,
)


def _cycles(services: Services) -> Iterator[Finding]:
    """One finding per cycle, at the first service by name that is on it. Iterative: graphs may be deep."""
    done: dict[str, bool] = {}
    for start in sorted(services):
        trail: list[str] = []
        pending = [(start, False)]
        while pending:
            name, leaving = pending.pop()
            if leaving:
                trail.pop()
                done[name] = True
                continue
            if name in trail:
                cycle = " -> ".join([*trail[trail.index(name) :], name])
                yield ("services", name, "depends_on"), f"dependency cycle detected: {cycle}", ""
                continue
            if done.get(name):
                continue
            trail.append(name)
            pending.append((name, True))
            needs = sorted(_mapping(services[name].get("depends_on")), reverse=True)
            pending.extend((need, False) for need in needs if need in services)
