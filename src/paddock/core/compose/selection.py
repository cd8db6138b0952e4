"""Limits a project to chosen services and what they need; choosing a service enables its profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from .decode import Json
from .report import Report, nearest

Services: TypeAlias = "dict[str, dict[str, Json]]"


class Chosen(NamedTuple):
    """`enabled` are all services of the active profiles, chosen or not: their resources stay in the model."""

    services: Services
    disabled: Services
    enabled: Services


def select(
    services: Services, disabled: Services, names: tuple[str, ...], profiles: tuple[str, ...], report: Report
) -> Chosen:
    """All services when `names` is empty."""
    if not names:
        return Chosen(services, disabled, services)
    active = list(profiles)
    for name in names:
        own = disabled.get(name, {}).get("profiles")
        active.extend(profile for profile in (own if isinstance(own, list) else ()) if isinstance(profile, str))
    everything = {**services, **disabled}
    enabled = {name: item for name, item in everything.items() if name in services or _has_profile(item, active)}
    kept = with_dependencies(enabled, names, report)
    chosen = {name: _without_others(item, kept) for name, item in enabled.items() if name in kept}
    return Chosen(chosen, {name: item for name, item in everything.items() if name not in kept}, enabled)


def _has_profile(service: Mapping[str, Json], profiles: list[str]) -> bool:
    own = service.get("profiles")
    return "*" in profiles or any(profile in profiles for profile in (own if isinstance(own, list) else ()))


def dependencies(service: Mapping[str, Json]) -> dict[str, Json]:
    found = service.get("depends_on")
    return found if isinstance(found, dict) else {}


def with_dependencies(services: Services, names: tuple[str, ...], report: Report) -> list[str]:
    """`names` and all they depend on, each after its own dependencies."""
    order: list[str] = []
    seen: dict[str, bool] = {}
    pending = [(name, True, False) for name in reversed(names)]
    while pending:
        name, required, leaving = pending.pop()
        if leaving:
            order.append(name)
        elif name not in services:
            if required:
                report.add(f"no such service: {name}", hint=nearest(name, services))
        elif name not in seen:
            seen[name] = True
            pending.append((name, required, True))
            for need, terms in sorted(dependencies(services[name]).items(), reverse=True):
                pending.append((need, not isinstance(terms, dict) or terms.get("required") is not False, False))
    return order


def _without_others(service: dict[str, Json], kept: list[str]) -> dict[str, Json]:
    needs = {name: terms for name, terms in dependencies(service).items() if name in kept}
    if "depends_on" not in service:
        return service
    changed = dict(service)
    if needs:
        changed["depends_on"] = needs
    else:
        del changed["depends_on"]
    return changed
