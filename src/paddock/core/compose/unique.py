"""Lists in which a later entry replaces an earlier one of the same key: ports, mounts, variables, ..."""

from __future__ import annotations

from collections.abc import Callable

from .go_text import sprint
from .mounts import parse_mount
from .report import Report
from .tree import Map, Path, Patterns, Seq, Value, kind_name

KeyOf = Callable[["Value"], str]


def enforce_unicity(model: Map, report: Report) -> Map:
    def walk(value: Value, path: Path) -> Value:
        if isinstance(value, Map):
            return value.like({key: walk(item, (*path, key)) for key, item in value.items()})
        if isinstance(value, Seq):
            pattern = _PATTERNS.find(path)
            return value if pattern is None else _unique(value, path, _KEYS[pattern])
        return value

    def _unique(items: Seq, path: Path, key_of: KeyOf) -> Seq:
        kept: dict[str, int] = {}
        result = Seq()
        for index, (item, mark) in enumerate(items.pairs()):
            try:
                key = key_of(item)
            except ValueError as error:
                report.add(str(error), path=(*path, index), root=model)
                continue
            if key in kept:
                result[kept[key]], result.marks[kept[key]] = item, mark
            else:
                kept[key] = len(result)
                result.append(item)
                result.marks.append(mark)
        return result

    walked = walk(model, ())
    assert isinstance(walked, Map)
    return walked


def _name(value: Value) -> str:
    if isinstance(value, str):
        return value.split("=", 1)[0]
    raise ValueError(f"must be a string, not {kind_name(value)}")


def _mount(value: Value) -> str:
    if isinstance(value, Map):
        target = value.get("target")
        if not isinstance(target, str):
            raise ValueError("this volume is missing a mount target")
        return target
    if isinstance(value, str):
        target = parse_mount(value).get("target")
        return target if isinstance(target, str) else ""
    return ""


def _device(value: Value) -> str:
    if isinstance(value, Map):
        target = value.get("target")
        if not isinstance(target, str):
            raise ValueError("this device is missing a mount target")
        return target
    if isinstance(value, str):
        parts = value.split(":")
        return parts[0] if len(parts) == 1 else parts[1]
    return ""


def _expose(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"unsupported expose value {sprint(value)}")


def _file_mount(default: str) -> KeyOf:
    def key_of(value: Value) -> str:
        if isinstance(value, str):
            return f"{default}/{value}"
        if isinstance(value, Map):
            target = value.get("target")
            return target if isinstance(target, str) else f"{default}/{sprint(value.get('source'))}"
        raise ValueError(f"must be a name or a mapping, not {kind_name(value)}")

    return key_of


def _port(value: Value) -> str:
    if isinstance(value, Map):
        if "target" not in value:
            raise ValueError("this port is missing a target port")
        host, protocol = value.get("host_ip", "0.0.0.0"), value.get("protocol", "tcp")
        published = value.get("published")
        return f"{sprint(host)}:{sprint(published)}:{sprint(value['target'])}/{sprint(protocol)}"
    return sprint(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _env_file(value: Value) -> str:
    if isinstance(value, Map):
        path = value.get("path")
        if not isinstance(path, str):
            raise ValueError("environment path attribute is missing")
        return path
    return value if isinstance(value, str) else ""


_KEYS: dict[str, KeyOf] = {
    **dict.fromkeys(
        (
            "networks.*.labels",
            "networks.*.ipam.options",
            "services.*.annotations",
            "services.*.build.args",
            "services.*.build.additional_contexts",
            "services.*.build.platform",
            "services.*.build.tags",
            "services.*.build.labels",
            "services.*.cap_add",
            "services.*.cap_drop",
            "services.*.deploy.labels",
            "services.*.dns",
            "services.*.dns_opt",
            "services.*.dns_search",
            "services.*.environment",
            "services.*.labels",
            "services.*.links",
            "services.*.networks.*.aliases",
            "services.*.networks.*.link_local_ips",
            "services.*.profiles",
            "services.*.sysctls",
            "services.*.tmpfs",
        ),
        _name,
    ),
    "services.*.configs": _file_mount(""),
    "services.*.devices": _device,
    "services.*.env_file": _env_file,
    "services.*.expose": _expose,
    "services.*.ports": _port,
    "services.*.secrets": _file_mount("/run/secrets"),
    "services.*.volumes": _mount,
}
_PATTERNS = Patterns(_KEYS)
