"""Implicit things made explicit: the default network, names of resources, dependencies that links imply, ..."""

from __future__ import annotations

from collections.abc import Mapping

from .go_text import sprint
from .mounts import clean
from .tree import Map, Seq, Value

_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")


def normalize(model: Map, name: str, environment: Mapping[str, str]) -> Map:
    result = _networks(model.with_item("name", name))
    services = result.get("services")
    if isinstance(services, Map):
        result["services"] = services.like({key: _service(item, environment) for key, item in services.items()})
    for section in ("networks", "volumes", "configs", "secrets", "models"):
        entries = result.get(section)
        if isinstance(entries, Map):
            result[section] = entries.like({key: _named(item, key, name) for key, item in entries.items()})
    return result


def _networks(model: Map) -> Map:
    services, networks = model.get("services"), model.get("networks")
    known = networks if isinstance(networks, Map) else Map()
    used = False
    if isinstance(services, Map):
        changed = {}
        for key, service in services.items():
            changed[key] = service
            if not isinstance(service, Map) or "network_mode" in service:
                continue
            own = service.get("networks")
            if not isinstance(own, Map) or not own:
                changed[key] = service.with_item("networks", Map({"default": None}))
                used = True
            used = used or "default" in (own if isinstance(own, Map) else ())
        model = model.with_item("services", services.like(changed))
    if used and "default" not in known:
        known = known.with_item("default", None)
    return model.with_item("networks", known) if known else model


def _service(service: Value, environment: Mapping[str, str]) -> Value:
    if not isinstance(service, Map):
        return service
    result = service.like(service)
    if result.get("pull_policy") == "if_not_present":
        result["pull_policy"] = "missing"
    build = result.get("build")
    if isinstance(build, Map):
        result["build"] = _build(build, environment)
    if "environment" in result:
        result["environment"] = _resolve(result["environment"], environment, keep=True)
    volumes = result.get("volumes")
    if isinstance(volumes, Seq):
        result["volumes"] = volumes.like(_clean_target(volume) for volume in volumes)
    depends = _dependencies(result)
    if depends:
        result["depends_on"] = depends
    return result


def _build(build: Map, environment: Mapping[str, str]) -> Map:
    result = build.like(build)
    if result.get("context") is None:
        result["context"] = "."
    if result.get("dockerfile") is None and result.get("dockerfile_inline") is None:
        result["dockerfile"] = "Dockerfile"
    if "args" in result:
        result["args"] = _resolve(result["args"], environment, keep=False)
    return result


def _clean_target(volume: Value) -> Value:
    target = volume.get("target") if isinstance(volume, Map) else None
    return volume.with_item("target", clean(target)) if isinstance(volume, Map) and isinstance(target, str) else volume


def _resolve(value: Value, environment: Mapping[str, str], *, keep: bool) -> Value:
    """Variables without a value take the environment's; those it lacks stay only if `keep`."""
    if isinstance(value, Map):
        resolved = Map({}, value.marks)
        for key, item in value.items():
            if item is not None or key in environment:
                resolved[key] = environment[key] if item is None else item
            elif keep:
                resolved[key] = None
        return resolved
    if isinstance(value, Seq):
        result = Seq()
        for item, mark in value.pairs():
            if not isinstance(item, str):
                continue
            if "=" not in item and item in environment:
                item = f"{item}={environment[item]}"
            if "=" in item or keep:
                result.append(item)
                result.marks.append(mark)
        result.nil = not result
        return result
    return value


def _dependencies(service: Map) -> Map:
    found = service.get("depends_on")
    depends = found.like(found) if isinstance(found, Map) else Map()

    def imply(name: str, *, restart: bool) -> None:
        if name not in depends:
            depends[name] = Map({"condition": "service_started", "restart": restart, "required": True})

    for link in _texts(service.get("links")):
        parts = link.split(":")
        imply(parts[0] if len(parts) == 2 else link, restart=True)
    for key in _NAMESPACES:
        text = service.get(key)
        if isinstance(text, str) and text.startswith("service:"):
            imply(text.removeprefix("service:"), restart=True)
    for source in _texts(service.get("volumes_from")):
        if not source.startswith("container:"):
            imply(source.split(":")[0], restart=False)
    return depends


def _texts(value: Value) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, Seq) else []


def _named(value: Value, key: str, project: str) -> Value:
    resource = value.like(value) if isinstance(value, Map) else Map()
    if resource.get("name") is None:
        external = "external" in resource and sprint(resource["external"]) in _TRUE
        resource["name"] = key if external else f"{project}_{key}"
    return resource


def resolve_environment(model: Map, environment: Mapping[str, str]) -> Map:
    """Services' listed variables without `=` take their value."""
    result = model.like(model)
    services = result.get("services")
    if isinstance(services, Map):
        result["services"] = services.like({key: _listed(item, environment) for key, item in services.items()})
    return result


def _listed(service: Value, environment: Mapping[str, str]) -> Value:
    listed = service.get("environment") if isinstance(service, Map) else None
    if not isinstance(service, Map) or not isinstance(listed, Seq):
        return service
    items, marks = [], []
    for item, mark in listed.pairs():
        if isinstance(item, str):
            items.append(f"{item}={environment[item]}" if item in environment else item)
            marks.append(mark)
    return service.with_item("environment", Seq(items, marks))
