"""How many units a service has, where they may be, when they are started again and how they are replaced."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple, cast

from paddock.model.specs import Placement, Resources, RestartPolicy, UpdatePolicy

from .findings import Json, Service, nearest
from .quantities import nano_cpus, seconds, whole
from .rancher import is_global

Mode = Literal["replicated", "global", "replicated-job", "global-job"]
Action = Literal["pause", "continue", "rollback"]
Order = Literal["stop-first", "start-first"]
Strategy = Literal["spread", "binpack"]
MODES = ("replicated", "global", "replicated-job", "global-job")
MONITOR_S = 5.0
"""Swarm's default too."""

_CONSTRAINT = re.compile(r"\s*(?P<soft>~?)(?P<key>[\w.\-/]+)\s*(?P<operator>==|!=)\s*(?P<value>.+?)\s*")
_ATTRIBUTES = ("node.id", "node.hostname", "node.role", "node.ip", "node.platform.os", "node.platform.arch")
_AFFINITY = re.compile(r"~?(?:(?:container|service|image)|label:[^=!]+)(?:==|!=).+")


class Count(NamedTuple):
    mode: Mode
    replicas: int


def count(service: Service) -> Count:
    """`scale` and `deploy.replicas` say the same; a fixed name or address allows one container only."""
    mode = service.deploy.get("mode") or ("global" if is_global(service.config) else "replicated")
    if mode not in MODES:
        service.problem("deploy", "mode", message=f"{mode!r} is not known", hint=nearest(mode, MODES))
        mode = "replicated"
    scale, replicas = service.config.get("scale"), service.deploy.get("replicas")
    if scale is not None and replicas is not None and int(scale) != int(replicas):
        service.problem("scale", message=f"is {scale}, but deploy.replicas is {replicas}", hint="keep one of them")
    wanted = int(scale if scale is not None else replicas if replicas is not None else 1)
    if mode.startswith("global"):
        if replicas is not None or scale is not None:
            message = "a global service has one unit on every host"
            service.problem("deploy", "replicas", message=message, hint="leave `replicas` and `scale` away")
        wanted = 1
    if wanted < 0:
        service.problem("scale" if scale is not None else "deploy", message=f"{wanted} containers cannot be")
    _check_single(service, mode, wanted)
    return Count(cast(Mode, mode), wanted)


def _check_single(service: Service, mode: str, wanted: int) -> None:
    if wanted <= 1 and not mode.startswith("global"):
        return
    several = "one on every host" if mode.startswith("global") else str(wanted)
    name = service.config.get("container_name")
    if name:
        message = f"only one container can be called {name!r}, and the service has {several}"
        service.problem("container_name", message=message, hint="leave it away; containers are STACK-SERVICE-NUMBER")
    if service.config.get("mac_address"):
        service.problem("mac_address", message=f"only one container can have it, and the service has {several}")
    for key, network in (service.config.get("networks") or {}).items():
        for field in ("ipv4_address", "ipv6_address", "mac_address"):
            if (network or {}).get(field):
                message = f"only one container can have it, and the service has {several}"
                service.problem("networks", key, field, message=message, hint="use names instead of addresses")


def restart_policy(service: Service, mode: Mode) -> tuple[RestartPolicy, dict[str, Any] | None]:
    """And the engine's `RestartPolicy`, where its own does the restarting.

    Without a word from the user a container that fails is started again, after a growing pause; docker compose
    leaves it dead. One that ends well stays ended in both.
    """
    declared = service.deploy.get("restart_policy")
    if declared is not None:
        return _declared_policy(service, declared), None
    restart = service.config.get("restart")
    if restart is None or restart == "":
        return RestartPolicy(), None
    name, _, attempts = str(restart).partition(":")
    if name == "no":
        return RestartPolicy(condition="none"), None
    if name not in ("always", "unless-stopped", "on-failure") or (attempts and not attempts.isdigit()):
        hint = "use no, always, unless-stopped or on-failure[:TIMES]"
        service.problem("restart", message=f"{restart!r} is not a restart policy", hint=hint)
        return RestartPolicy(), None
    if mode.endswith("-job") and name != "on-failure":
        message = f"a job ends, so {name!r} makes no sense for it"
        service.problem("restart", message=message, hint="use on-failure or no")
    engine: dict[str, Any] = {"Name": name} | ({"MaximumRetryCount": int(attempts)} if attempts else {})
    condition: Literal["any", "on-failure"] = "on-failure" if name == "on-failure" else "any"
    return RestartPolicy(condition=condition, max_attempts=int(attempts or 0), engine=True), engine


_CONDITIONS: dict[str, Literal["none", "on-failure", "any"]] = {
    "": "any", "any": "any", "always": "any", "unless-stopped": "any", "on-failure": "on-failure", "none": "none",
    "no": "none",
}  # fmt: skip


def _declared_policy(service: Service, declared: Json) -> RestartPolicy:
    condition = str(declared.get("condition") or "")
    if condition not in _CONDITIONS:
        hint = nearest(condition, ("any", "none", "on-failure"))
        message = f"{condition!r} is not known"
        service.problem("deploy", "restart_policy", "condition", message=message, hint=hint)
    return RestartPolicy(
        condition=_CONDITIONS.get(condition, "any"),
        delay_s=seconds(declared.get("delay") or 0),
        max_attempts=whole(declared.get("max_attempts")),
        window_s=seconds(declared.get("window") or 0),
    )


def update_policy(service: Service, field: Literal["update_config", "rollback_config"]) -> UpdatePolicy:
    declared = service.deploy.get(field) or {}
    actions = ("pause", "continue") + (("rollback",) if field == "update_config" else ())
    action = declared.get("failure_action") or "pause"
    order = declared.get("order") or "stop-first"
    for name, value, known in (("failure_action", action, actions), ("order", order, ("stop-first", "start-first"))):
        if value not in known:
            message = f"{value!r} is not one of {', '.join(known)}"
            service.problem("deploy", field, name, message=message, hint=nearest(value, known))
    if order == "start-first" and service.config.get("container_name"):
        message = "the new container cannot start before the old one has gone: they have the same container_name"
        service.problem("deploy", field, "order", message=message)
    parallelism = declared.get("parallelism")
    return UpdatePolicy(
        parallelism=1 if parallelism is None else int(parallelism),
        delay_s=seconds(declared.get("delay") or 0),
        failure_action=cast(Action, action),
        monitor_s=seconds(declared["monitor"]) if declared.get("monitor") else MONITOR_S,
        max_failure_ratio=float(declared.get("max_failure_ratio") or 0),
        order=cast(Order, order),
    )


def placement(service: Service, beside: tuple[str, ...], labelled: Placement) -> Placement:
    """`beside`: containers whose host this service must share; `labelled`: what its labels ask for."""
    declared = service.deploy.get("placement") or {}
    own = (service.config.get("x-paddock") or {}).get("placement") or {}
    constraints = [_constraint(service, index, text) for index, text in enumerate(declared.get("constraints") or [])]
    affinities = [f"container=={name}" for name in beside]
    for index, text in enumerate(own.get("affinities") or []):
        if _AFFINITY.fullmatch(text):
            affinities.append(text)
            continue
        hint = "write [~]container==NAME, service!=NAME, image==NAME or label:KEY==VALUE"
        message = f"{text!r} is not an affinity"
        service.problem("x-paddock", "placement", "affinities", index, message=message, hint=hint)
    strategy = own.get("strategy") or "spread"
    if strategy not in ("spread", "binpack"):
        hint = nearest(strategy, ("spread", "binpack"))
        service.problem("x-paddock", "placement", "strategy", message=f"{strategy!r} is not known", hint=hint)
        strategy = "spread"
    return Placement(
        constraints=(*filter(None, constraints), *labelled.constraints),
        affinities=(*affinities, *labelled.affinities),
        preferences=tuple(preference["spread"] for preference in declared.get("preferences") or ()),
        max_per_host=whole(declared.get("max_replicas_per_node")),
        strategy=cast(Strategy, strategy),
    )


def _constraint(service: Service, index: int, text: str) -> str:
    """Without spaces, or "" where it has no meaning here."""
    path = ("deploy", "placement", "constraints", index)
    match = _CONSTRAINT.fullmatch(text)
    if not match:
        service.problem(*path, message=f"{text!r} is not KEY==VALUE or KEY!=VALUE")
        return ""
    key = match["key"]
    if key == "node.role":
        service.warn(*path, message=f"{text!r} has no effect: every host is a worker, servers run no containers")
        return ""
    if key not in _ATTRIBUTES and not key.startswith(("node.labels.", "engine.labels.")):
        hint = nearest(key, (*_ATTRIBUTES, "node.labels.NAME", "engine.labels.NAME"))
        service.problem(*path, message=f"{key!r} is not an attribute of a host", hint=hint)
    return f"{match['soft']}{key}{match['operator']}{match['value']}"


def reservation(service: Service) -> Resources:
    """`mem_reservation` is the older way to write `deploy.resources.reservations.memory`."""
    reserved = (service.deploy.get("resources") or {}).get("reservations") or {}
    if reserved.get("generic_resources"):
        hint = "label the hosts that have it and use a placement constraint"
        path = ("deploy", "resources", "reservations", "generic_resources")
        service.problem(*path, message="hosts do not count resources of one's own kind", hint=hint)
    return Resources(
        cpu_milli=nano_cpus(reserved.get("cpus")) // 1_000_000,
        memory_bytes=whole(reserved.get("memory")) or whole(service.config.get("mem_reservation")),
    )
