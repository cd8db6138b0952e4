"""Lays one file over another: mappings merge, lists append, and some fields have rules of their own."""

from __future__ import annotations

from collections.abc import Callable

from .go_text import sprint
from .tree import Map, Path, Patterns, Seq, Value


class CannotMerge(Exception):
    """The two values do not fit together at `path`."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def merge(base: Map, over: Map) -> Map:
    """Raises CannotMerge."""
    return merge_mappings(base, over, ())


def extend_service(base: Map, service: Map, name: str) -> Map:
    """`service` laid over the one it extends. Raises CannotMerge."""
    merged = _merge(base, service, ("services", name))
    assert isinstance(merged, Map)
    return merged


def merge_mappings(base: Map, over: Map, path: Path) -> Map:
    result = base.like(base)
    for key, value in over.items():
        if key in base and not key.startswith("x-"):
            result[key] = _merge(base[key], value, (*path, key))
        else:
            result[key] = value
        if key in over.marks and (value is not None or key not in result.marks):
            result.marks[key] = over.marks[key]
        if key in over.relative:
            result.relative[key] = over.relative[key]
        elif result[key] is value:
            result.relative.pop(key, None)
    return result


def _merge(base: Value, over: Value, path: Path) -> Value:
    special = _PATTERNS.find(path)
    if special is not None:
        return _SPECIAL[special](base, over, path)
    if over is None:
        return base
    if isinstance(base, Map):
        if not isinstance(over, Map):
            raise CannotMerge("cannot override a mapping with something else", path)
        return merge_mappings(base, over, path)
    if isinstance(base, Seq):
        if not isinstance(over, Seq):
            raise CannotMerge("cannot override a list with something else", path)
        return _append(base, over)
    return over


def _append(base: Seq, over: Seq) -> Seq:
    joined = Seq([*base, *over], [*base.marks, *over.marks])
    joined.nil = base.nil and not over
    return joined


def _override(_base: Value, over: Value, _path: Path) -> Value:
    return over


def to_sequence(value: Value) -> Seq:
    """`KEY=value` items of a mapping, sorted; a lone string is a list of one; anything else is nothing."""
    match value:
        case Map():
            pairs = []
            for key in value:
                item = value[key]
                if item is None:
                    pairs.append((key, value.marks.get(key)))
                elif isinstance(item, Seq):
                    pairs.extend((f"{key}={sprint(each)}", value.marks.get(key)) for each in item)
                else:
                    pairs.append((f"{key}={sprint(item)}", value.marks.get(key)))
            pairs.sort(key=lambda pair: pair[0])
            return Seq([text for text, _ in pairs], [mark for _, mark in pairs])
        case Seq():
            return value
        case str():
            return Seq([value])
        case _:
            return Seq(nil=True)


def _sequences(base: Value, over: Value, _path: Path) -> Value:
    return _append(to_sequence(base), to_sequence(over))


def _extra_hosts(base: Value, over: Value, _path: Path) -> Value:
    kept = to_sequence(base)
    new = [(item, mark) for item, mark in to_sequence(over).pairs() if item not in kept]
    return _append(kept, Seq([item for item, _ in new], [mark for _, mark in new]))


def _as_mapping(value: Value, default: Map | None, path: Path) -> Map:
    if isinstance(value, Map):
        return value
    converted = Map()
    if isinstance(value, Seq):
        for item, mark in value.pairs():
            if not isinstance(item, str):
                raise CannotMerge("must be a list of names or a mapping", path)
            converted[item] = None if default is None else default.like(default)
            if mark:
                converted.marks[item] = mark
    return converted


def _depends_on(base: Value, over: Value, path: Path) -> Value:
    default = Map({"condition": "service_started", "required": True})
    return merge_mappings(_as_mapping(base, default, path), _as_mapping(over, default, path), path)


def _networks(base: Value, over: Value, path: Path) -> Value:
    return merge_mappings(_as_mapping(base, None, path), _as_mapping(over, None, path), path)


def _build(base: Value, over: Value, path: Path) -> Value:
    def mapping(value: Value) -> Map:
        if isinstance(value, str):
            return Map({"context": value})
        return value if isinstance(value, Map) else Map()

    return merge_mappings(mapping(base), mapping(over), path)


def _logging(base: Value, over: Value, path: Path) -> Value:
    """Options merge only under the same driver, or where one of the two names none."""
    if not isinstance(base, Map) or not isinstance(over, Map):
        raise CannotMerge("must be a mapping", path)
    if "driver" in base and "driver" in over and base["driver"] != over["driver"]:
        return over
    return merge_mappings(base, over, path)


def _ipam_config(base: Value, over: Value, path: Path) -> Value:
    """Pools of one subnet merge; others stand side by side."""
    if not isinstance(base, Seq) or not isinstance(over, Seq):
        raise CannotMerge("must be a list", path)
    pools: list[Map] = []
    for original in base:
        left = _as_mapping(original, None, path)
        for override in over:
            right = _as_mapping(override, None, path)
            same = [index for index, pool in enumerate(pools) if pool.get("subnet") == right.get("subnet")]
            if right.get("subnet") != left.get("subnet") and not same:
                pools.append(right)
                continue
            left = merge_mappings(left, right, path)
            same = [index for index, pool in enumerate(pools) if pool.get("subnet") == left.get("subnet")]
            if same:
                pools[same[0]] = left
            else:
                pools.append(left)
    return Seq(pools)


_SPECIAL: dict[str, Callable[[Value, Value, Path], Value]] = {
    "networks.*.ipam.config": _ipam_config,
    "networks.*.labels": _sequences,
    "volumes.*.labels": _sequences,
    "services.*.annotations": _sequences,
    "services.*.build": _build,
    "services.*.build.args": _sequences,
    "services.*.build.additional_contexts": _sequences,
    "services.*.build.extra_hosts": _extra_hosts,
    "services.*.build.labels": _sequences,
    "services.*.command": _override,
    "services.*.depends_on": _depends_on,
    "services.*.deploy.labels": _sequences,
    "services.*.dns": _sequences,
    "services.*.dns_opt": _sequences,
    "services.*.dns_search": _sequences,
    "services.*.entrypoint": _override,
    "services.*.env_file": _sequences,
    "services.*.label_file": _sequences,
    "services.*.environment": _sequences,
    "services.*.extra_hosts": _extra_hosts,
    "services.*.healthcheck.test": _override,
    "services.*.labels": _sequences,
    "services.*.logging": _logging,
    "services.*.models": _networks,
    "services.*.networks": _networks,
    "services.*.sysctls": _sequences,
    "services.*.tmpfs": _sequences,
    "services.*.ulimits.*": _override,
}
_PATTERNS = Patterns(_SPECIAL)
