"""Short forms -> long forms, file by file, as compose-go's transform package; then defaults for what is missing."""

from __future__ import annotations

from collections.abc import Callable

from .go_text import sprint
from .mounts import parse_mount
from .ports import parse_port, port_count
from .report import Report
from .tree import Map, Path, Patterns, Seq, Value, kind_name

PORT_LIMIT = 131_072  # every TCP and every UDP port
Transform = Callable[["Value", bool], "Value"]


def canonical_forms(model: Map, report: Report, *, lenient: bool) -> Map:
    """`lenient` leaves what cannot be read as it stands, for files whose variables are not replaced."""

    def walk(value: Value, path: Path) -> Value:
        pattern = _PATTERNS.find(path)
        if pattern is not None:
            try:
                value = _TRANSFORMS[pattern](value, lenient)
            except ValueError as error:
                inner = (*path, error.index) if isinstance(error, BadItem) else path
                report.add(str(error), path=inner, root=model)
                return value
            if pattern not in _DEEPER:
                return value
        return _children(value, path, walk)

    walked = walk(model, ())
    assert isinstance(walked, Map)
    return walked


def _children(value: Value, path: Path, walk: Callable[[Value, Path], Value]) -> Value:
    if isinstance(value, Map):
        return value.like({key: walk(item, (*path, key)) for key, item in value.items()})
    if isinstance(value, Seq):
        return value.like(walk(item, (*path, index)) for index, item in enumerate(value))
    return value


def drop_empty(model: Map) -> Map:
    """Empty `dns` entries go; every empty list becomes Go's nil list, as compose-go leaves them."""

    def walk(value: Value, path: Path) -> Value:
        if isinstance(value, Map):
            return value.like({key: walk(item, (*path, key)) for key, item in value.items()})
        if isinstance(value, Seq):
            kept = [(item, mark) for item, mark in value.pairs() if not (item in (None, "") and _DNS.find(path))]
            items = [walk(item, (*path, 0)) for item, _ in kept]
            return Seq(items, [mark for _, mark in kept], nil=not items)
        return value

    walked = walk(model, ())
    assert isinstance(walked, Map)
    return walked


_DNS = Patterns(("services.*.dns",))


class BadItem(ValueError):
    """The item at `index` of a list is wrong."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def _wrong(value: Value, what: str) -> ValueError:
    return ValueError(f"must be {what}, not {kind_name(value)}")


def _build(value: Value, _lenient: bool) -> Value:
    if isinstance(value, str):
        return Map({"context": value})
    if not isinstance(value, Map):
        raise _wrong(value, "a path or a mapping")
    return value


def _extends(value: Value, _lenient: bool) -> Value:
    if isinstance(value, str):
        return Map({"service": value})
    if not isinstance(value, Map):
        raise _wrong(value, "a service or a mapping")
    return value


def _include(value: Value, _lenient: bool) -> Value:
    return Map({"path": value}) if isinstance(value, str) else value


def _file_mount(value: Value, _lenient: bool) -> Value:
    if isinstance(value, str):
        return Map({"source": value})
    if not isinstance(value, Map):
        raise _wrong(value, "a name or a mapping")
    return value


def _key_values(value: Value, lenient: bool) -> Value:
    if not isinstance(value, Seq):
        return value
    result = Map()
    for item, mark in value.pairs():
        key, equals, text = item.partition("=") if isinstance(item, str) else ("", "", "")
        if not equals:
            if lenient:
                return value
            raise ValueError(f"invalid value {sprint(item)}, expected key=value")
        result[key] = text
        if mark:
            result.marks[key] = mark
    return result


def _depends_on(value: Value, _lenient: bool) -> Value:
    if isinstance(value, Seq):
        return _named(value, Map({"condition": "service_started", "required": True}))
    if not isinstance(value, Map):
        raise _wrong(value, "a list of services or a mapping")
    result = value.like(value)
    for key, item in value.items():
        if not isinstance(item, Map):
            raise ValueError(f"{key}: {_wrong(item, 'a mapping')}")
        result[key] = item.like({"condition": "service_started", "required": True, **item})
    return result


def _named(value: Seq, default: Map | None) -> Map:
    result = Map()
    for item, mark in value.pairs():
        if not isinstance(item, str):
            raise _wrong(item, "a name")
        result[item] = None if default is None else default.like(default)
        if mark:
            result.marks[item] = mark
    return result


def _names_to_mapping(value: Value, _lenient: bool) -> Value:
    return _named(value, None) if isinstance(value, Seq) else value


def _env_files(value: Value, _lenient: bool) -> Value:
    items = Seq([value]) if isinstance(value, str) else value
    if not isinstance(items, Seq):
        raise _wrong(value, "a path or a list")
    return items.like(_env_file(item) for item in items)


def _env_file(value: Value) -> Value:
    if isinstance(value, str):
        return Map({"path": value, "required": True})
    return value.like({"required": True, **value}) if isinstance(value, Map) else None


def _list(value: Value, _lenient: bool) -> Value:
    return Seq([value]) if isinstance(value, str) else value


def _text(value: Value, _lenient: bool) -> Value:
    return sprint(value) if isinstance(value, bool) else value


def _gpus(value: Value, _lenient: bool) -> Value:
    if isinstance(value, str):
        return Seq([Map({"count": "all"})])
    if not isinstance(value, Seq):
        raise _wrong(value, "`all` or a list")
    return value


def _mount(value: Value, lenient: bool) -> Value:
    if not isinstance(value, str):
        return value
    try:
        return parse_mount(value)
    except ValueError:
        if lenient:
            return value
        raise


def _device(value: Value, lenient: bool) -> Value:
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    if len(parts) > 3:
        if not lenient:
            raise ValueError(f"confusing device mapping, please use long syntax: {value}")
        parts = [""]
    source = parts[0]
    target = parts[1] if len(parts) > 1 and parts[1] else source
    return Map({"source": source, "target": target, "permissions": parts[2] if len(parts) == 3 else "rwm"})


def _ports(value: Value, lenient: bool) -> Value:
    if not isinstance(value, Seq):
        raise _wrong(value, "a list")
    result = Seq()
    _check_count(value)
    for index, (item, mark) in enumerate(value.pairs()):
        if isinstance(item, Map):
            entries = [item]
        elif isinstance(item, bool | float) or item is None:
            raise BadItem(f"{sprint(item)} is no port", index)
        else:
            try:
                entries = parse_port(sprint(item))
            except ValueError as error:
                if lenient:
                    return value
                raise BadItem(str(error), index) from None
        result.extend(entries)
        result.marks.extend([mark] * len(entries))
    return result


def _check_count(value: Seq) -> None:
    """Before a range is written out: that takes seconds for what is refused."""
    count = 0
    for index, item in enumerate(value):
        count += 1 if isinstance(item, Map) else port_count(sprint(item))
        if count > PORT_LIMIT:
            raise BadItem(f"more than {PORT_LIMIT} ports in one service", index)


def _ssh(value: Value, _lenient: bool) -> Value:
    if not isinstance(value, Seq):
        return value
    result = Map()
    for item in value:
        key, equals, path = item.partition("=") if isinstance(item, str) else ("", "", "")
        if not equals and key != "default":
            raise ValueError(f"invalid ssh key {sprint(item)!r}")
        result[key] = path if equals else None
    return result


def _ulimit(value: Value, _lenient: bool) -> Value:
    if isinstance(value, Map) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise _wrong(value, "a number or a mapping")


def _maybe_external(value: Value, _lenient: bool) -> Value:
    """`external: {name: x}` is the old way to write `external: true` with `name: x`."""
    if value is None:
        return None
    if not isinstance(value, Map):
        raise _wrong(value, "a mapping")
    external = value.get("external")
    if not isinstance(external, Map):
        return value
    result = value.with_item("external", True)
    if "name" in external:
        if "name" in value and value["name"] != external["name"]:
            raise ValueError("name and external.name conflict; only use name")
        result["name"] = external["name"]
    return result


_TRANSFORMS: dict[str, Transform] = {
    "services.*.build": _build,
    "services.*.build.additional_contexts": _key_values,
    "services.*.build.provenance": _text,
    "services.*.build.sbom": _text,
    "services.*.build.secrets.*": _file_mount,
    "services.*.build.ssh": _ssh,
    "services.*.build.ulimits.*": _ulimit,
    "services.*.configs.*": _file_mount,
    "services.*.depends_on": _depends_on,
    "services.*.develop.watch.*.ignore": _list,
    "services.*.develop.watch.*.include": _list,
    "services.*.devices.*": _device,
    "services.*.dns": _list,
    "services.*.env_file": _env_files,
    "services.*.extends": _extends,
    "services.*.gpus": _gpus,
    "services.*.label_file": _list,
    "services.*.models": _names_to_mapping,
    "services.*.networks": _names_to_mapping,
    "services.*.ports": _ports,
    "services.*.secrets.*": _file_mount,
    "services.*.ulimits.*": _ulimit,
    "services.*.volumes.*": _mount,
    "volumes.*": _maybe_external,
    "networks.*": _maybe_external,
    "secrets.*": _maybe_external,
    "configs.*": _maybe_external,
    "include.*": _include,
}
_PATTERNS = Patterns(_TRANSFORMS)
_DEEPER = ("services.*.build", "services.*.gpus")


def set_defaults(model: Map, report: Report) -> Map:
    def walk(value: Value, path: Path) -> Value:
        pattern = _DEFAULT_PATTERNS.find(path)
        if pattern is None:
            return _children(value, path, walk)
        if isinstance(value, Map):
            return _DEFAULTS[pattern](value)
        if pattern in _MUST_BE_MAPPINGS:
            report.add(str(_wrong(value, "a mapping")), path=path, root=model)
        return value

    walked = walk(model, ())
    assert isinstance(walked, Map)
    return walked


def _default_secret(secret: Map) -> Map:
    return secret if "target" in secret else secret.with_item("target", f"/run/secrets/{sprint(secret.get('source'))}")


def _default_devices(request: Map) -> Map:
    return request if "count" in request or "device_ids" in request else request.with_item("count", "all")


_DEFAULTS: dict[str, Callable[[Map], Map]] = {
    "services.*.build": lambda build: build.like({"context": ".", **build}),
    "services.*.secrets.*": _default_secret,
    "services.*.ports.*": lambda port: port.like({"protocol": "tcp", "mode": "ingress", **port}),
    "services.*.deploy.resources.reservations.devices.*": _default_devices,
    "services.*.gpus.*": _default_devices,
}
_DEFAULT_PATTERNS = Patterns(_DEFAULTS)
_MUST_BE_MAPPINGS = (
    "services.*.secrets.*",
    "services.*.deploy.resources.reservations.devices.*",
    "services.*.gpus.*",
)
