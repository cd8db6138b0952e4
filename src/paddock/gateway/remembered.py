"""Containers on hosts that do not answer: what the store knows of them, said so that nobody takes it for news."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from paddock.core.attachments import attachments
from paddock.core.draft import GONE
from paddock.core.standalone import id_of
from paddock.core.subnets import mac_of
from paddock.gateway.filters import Filters, labels_match
from paddock.gateway.finding import being_made, cluster_id
from paddock.model.objects import ContainerStatus, Host, HostId, HostState, Network, NetworkId, Revision, Unit
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ContainerSpec

Json = dict[str, Any]
UNDERSTOOD = ("label", "label!", "id", "name", "status", "network")
NEVER = "0001-01-01T00:00:00Z"


def listed(snapshot: Snapshot, host: Host, filters: Filters, *, answers: bool) -> list[Json]:
    """As `docker ps` lists them; of a host that answers those that are only being made anew. None at all when a filter
    asks for what only the engine knows."""
    if any(name not in UNDERSTOOD for name in filters):
        return []
    found = []
    for unit in snapshot.units_on_host(HostId(host.id)):
        revision = snapshot.get(Revision, unit.revision)
        if revision is None or unit.state in GONE or (answers and not made_anew(unit)):
            continue
        for status in unit.containers or (being_made(unit),):
            if status.id:
                view = _listed(snapshot, host, unit, status, _spec(revision, status))
                if _fits(view, filters):
                    found.append(view)
    return found


def made_anew(unit: Unit) -> bool:
    """It takes the place of a lost one, and is not there yet."""
    return bool(unit.known_as) and unit.live and not unit.containers


def _listed(snapshot: Snapshot, host: Host, unit: Unit, status: ContainerStatus, spec: ContainerSpec) -> Json:
    return {
        "Id": cluster_id(unit, status),
        "Names": [f"/{_name(unit, status)}"],
        "Image": spec.image,
        "ImageID": "",
        "Command": " ".join(_command(spec)),
        "Created": int(unit.created_at_s),
        "State": _state(host, unit, status)["Status"],
        "Status": "Created" if made_anew(unit) else f"Host Down ({host.name})",
        "Ports": [],
        "Labels": labels(unit, spec),
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": _networks(snapshot, unit)},
        "Mounts": [],
        "Node": host.name,
    }


def inspected(snapshot: Snapshot, host: Host, unit: Unit, status: ContainerStatus) -> Json | None:
    """As `docker inspect` shows it, but for what only its engine knows."""
    revision = snapshot.get(Revision, unit.revision)
    if revision is None or not status.id:
        return None
    spec = _spec(revision, status)
    body = dict(spec.config)
    host_config = {"NetworkMode": "default", **(body.pop("HostConfig", None) or {})}
    body.pop("NetworkingConfig", None)
    command = _command(spec)
    networks = _networks(snapshot, unit)
    first: Json = next(iter(networks.values()), {})
    return {
        "Id": cluster_id(unit, status),
        "Created": _time(unit.created_at_s),
        "Path": command[0] if command else "",
        "Args": command[1:],
        "State": _state(host, unit, status),
        "Image": spec.image,
        "Name": f"/{_name(unit, status)}",
        "RestartCount": status.restarts,
        "Platform": "linux",
        "HostConfig": host_config,
        "GraphDriver": {"Data": None, "Name": ""},
        "Mounts": [],
        "Config": {**body, "Image": spec.image, "Labels": labels(unit, spec)},
        "NetworkSettings": {
            "Ports": {}, "IPAddress": "", "MacAddress": first.get("MacAddress", ""), "Networks": networks,
        },
    }  # fmt: skip


def _state(host: Host, unit: Unit, status: ContainerStatus) -> Json:
    """Of a host that is silent, perhaps only for a moment, the last that was heard; of one that is lost, "dead"."""
    lost = host.state is HostState.LOST
    state = "dead" if lost else status.state or "created"
    error = f"host {host.name} {'is lost' if lost else 'does not answer'}: its container was last seen {status.state}"
    if made_anew(unit):
        error = f"its host was lost; it is being made anew on {host.name}"
    return {
        "Status": state,
        "Running": state in ("running", "paused", "restarting"),
        "Paused": state == "paused",
        "Restarting": state == "restarting",
        "OOMKilled": status.oom_killed,
        "Dead": state == "dead",
        "Pid": 0,
        "ExitCode": status.exit_code or 0,
        "Error": error,
        "StartedAt": _time(status.started_at_s),
        "FinishedAt": _time(status.finished_at_s),
    }


def labels(unit: Unit, spec: ContainerSpec) -> dict[str, str]:
    ours = {"io.paddock.service": unit.service_name}
    ours |= {"io.paddock.stack": unit.stack_name} if unit.stack_name else {}
    return {**{str(key): str(value) for key, value in (spec.config.get("Labels") or {}).items()}, **ours}


def _spec(revision: Revision, status: ContainerStatus) -> ContainerSpec:
    return revision.spec.sidekicks.get(status.role, revision.spec.container)


def _name(unit: Unit, status: ContainerStatus) -> str:
    return status.name.removeprefix("/") or unit.name


def _command(spec: ContainerSpec) -> list[str]:
    words: list[str] = []
    for key in ("Entrypoint", "Cmd"):
        given = spec.config.get(key) or []
        words += [given] if isinstance(given, str) else [str(word) for word in given]
    return words


def _networks(snapshot: Snapshot, unit: Unit) -> Json:
    revision = snapshot.get(Revision, unit.revision)
    asked = dict(attachments(revision, revision.spec.container)) if revision is not None else {}
    found: Json = {}
    for id, address in unit.addresses.items():
        network = snapshot.get(Network, id)
        if network is None:
            continue
        aliases = asked[NetworkId(id)].aliases if id in asked else ()
        found[network.name] = {
            "Aliases": list(aliases) or None,
            "NetworkID": id_of("network", network.id),
            "EndpointID": "",
            "Gateway": "",
            "IPAddress": address,
            "IPPrefixLen": int(network.subnet.partition("/")[2] or 0),
            "MacAddress": mac_of(address),
        }
    return found


def _time(at_s: float) -> str:
    if not at_s:
        return NEVER
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _fits(view: Json, filters: Filters) -> bool:
    networks = view["NetworkSettings"]["Networks"]
    ids = [network["NetworkID"] for network in networks.values()]
    names = [name.removeprefix("/") for name in view["Names"]]

    def fits(kind: str, value: str) -> bool:
        match kind:
            case "id":
                return str(view["Id"]).startswith(value)
            case "name":
                return any(value.removeprefix("/") in name for name in names)
            case "status":
                return bool(value == view["State"])
        return value in networks or any(id.startswith(value) for id in ids)

    asked = [(kind, filters[kind]) for kind in ("id", "name", "status", "network") if filters.get(kind)]
    return labels_match(filters, view["Labels"]) and all(
        any(fits(kind, value) for value in values) for kind, values in asked
    )
