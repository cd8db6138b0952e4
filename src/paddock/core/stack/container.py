"""The create body of a service's containers, but for its `HostConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .findings import Json, Service
from .quantities import nanoseconds

COMPOSE_VERSION = "2.26.1"
"""The docker compose whose behaviour this mirrors; tools look for the label, not for its value."""

_AS_WRITTEN = {
    "hostname": "Hostname",
    "domainname": "Domainname",
    "user": "User",
    "working_dir": "WorkingDir",
    "tty": "Tty",
    "stdin_open": "OpenStdin",
    "stop_signal": "StopSignal",
}


def container_config(service: Service, project: str, config_hash: str) -> dict[str, Any]:
    """`config_hash` is what `docker compose config --hash` says of the service; "" leaves its label away."""
    config = service.config
    body: dict[str, Any] = {
        "Image": config.get("image") or f"{project}-{service.name}",
        "AttachStdout": True,
        "AttachStderr": True,
    }
    body |= {key: config[name] for name, key in _AS_WRITTEN.items() if config.get(name)}
    for name, key in (("command", "Cmd"), ("entrypoint", "Entrypoint")):
        if config.get(name) is not None:
            body[key] = list(config[name])
    if environment := config.get("environment"):
        body["Env"] = [_variable(name, environment[name]) for name in sorted(environment)]
    if exposed := _exposed_ports(config):
        body["ExposedPorts"] = exposed
    if config.get("healthcheck") is not None:
        body["Healthcheck"] = _healthcheck(config["healthcheck"])
    if config.get("stop_grace_period") is not None:
        body["StopTimeout"] = int(nanoseconds(config["stop_grace_period"]) / 1e9)
    body["Labels"] = _labels(service, project, config_hash)
    return body


def declares_health(config: Json) -> bool:
    check = config.get("healthcheck") or {}
    test = list(check.get("test") or [])
    return bool(test) and test != ["NONE"] and not check.get("disable")


def _variable(name: str, value: Any) -> str:
    """A variable without a value is taken away from the image's environment."""
    return name if value is None else f"{name}={value}"


def _exposed_ports(config: Json) -> dict[str, dict[str, str]]:
    exposed = [str(port) for port in config.get("expose") or []]
    exposed += [f"{port['target']}/{port.get('protocol') or 'tcp'}" for port in config.get("ports") or []]
    return {port: {} for port in exposed}


def _healthcheck(check: Mapping[str, Any]) -> dict[str, Any]:
    test = ["NONE"] if check.get("disable") else check.get("test")
    body: dict[str, Any] = {"Test": list(test)} if test is not None else {}
    for name, key in (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
    ):
        if check.get(name):
            body[key] = nanoseconds(check[name])
    if check.get("retries"):
        body["Retries"] = int(check["retries"])
    return body


def _labels(service: Service, project: str, config_hash: str) -> dict[str, str]:
    """The service's own, and those by which tools recognise a container of docker compose."""
    labels = {key: str(value) for key, value in (service.config.get("labels") or {}).items()}
    depends = service.config.get("depends_on") or {}
    labels |= {
        "com.docker.compose.project": project,
        "com.docker.compose.service": service.name,
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.version": COMPOSE_VERSION,
        "com.docker.compose.depends_on": ",".join(
            f"{name}:{depends[name]['condition']}:{str(bool(depends[name].get('restart'))).lower()}"
            for name in sorted(depends)
        ),
    }
    return labels | ({"com.docker.compose.config-hash": config_hash} if config_hash else {})
