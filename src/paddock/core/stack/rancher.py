"""Labels by which users of Rancher 1.x say where containers go: read as they are, so that their files keep working."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.model.specs import Placement

from .findings import Json, Service

GLOBAL = "io.rancher.scheduler.global"
SIDEKICKS = "io.rancher.sidekicks"
AFFINITY = "io.rancher.scheduler.affinity:"
SERVICE_LABEL = "io.rancher.stack_service.name"

_SUFFIXES = {"": ("", "=="), "_ne": ("", "!="), "_soft": ("~", "=="), "_soft_ne": ("~", "!=")}


def labels_of(config: Json) -> Mapping[str, Any]:
    return config.get("labels") or {}


def is_global(config: Json) -> bool:
    return str(labels_of(config).get(GLOBAL, "")).lower() == "true"


def placement_of(service: Service, project: str) -> Placement:
    """Macros are those that Rancher filled in as it placed a container."""
    constraints: list[str] = []
    affinities: list[str] = []
    labels = labels_of(service.config)
    for label in sorted(labels):
        if not label.startswith(AFFINITY):
            continue
        kind, soft, operator = _rule(label.removeprefix(AFFINITY))
        if not kind:
            service.warn("labels", label, message="is not a rule that Rancher 1.x had, and has no effect")
        for value in _values(_filled(labels[label], service.name, project)):
            if kind == "host_label":
                key, _, wanted = value.partition("=")
                constraints.append(f"{soft}node.labels.{key}{operator}{wanted}")
            elif kind == "container_label":
                affinities.append(soft + _container_label(value, operator, project))
            elif kind == "container":
                affinities.append(f"{soft}container{operator}{value}")
    return Placement(constraints=tuple(constraints), affinities=tuple(affinities))


def _rule(text: str) -> tuple[str, str, str]:
    for kind in ("host_label", "container_label", "container"):
        suffix = text.removeprefix(kind)
        if text.startswith(kind) and suffix in _SUFFIXES:
            return (kind, *_SUFFIXES[suffix])
    return "", "", ""


def _filled(text: Any, service: str, project: str) -> str:
    filled = str(text).replace("${service_name}", service)
    return filled.replace("${stack_name}", project).replace("${project_name}", project)


def _container_label(value: str, operator: str, project: str) -> str:
    """The label that Rancher gave to every container of a service means that service."""
    key, _, wanted = value.partition("=")
    if key == SERVICE_LABEL:
        return f"service{operator}{wanted.removeprefix(f'{project}/')}"
    return f"label:{key}{operator}{wanted}"


def _values(text: Any) -> list[str]:
    return [part.strip() for part in str(text).split(",") if part.strip()]


def sidekicks_of(services: Mapping[str, Json]) -> dict[str, tuple[str, ...]]:
    """Primary service -> its sidekicks, as its label names them."""
    return {
        name: tuple(_values(labels_of(services[name])[SIDEKICKS]))
        for name in sorted(services)
        if labels_of(services[name]).get(SIDEKICKS)
    }
