"""Replaces variables in a whole file, and casts the results at paths that want another type than text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .go_text import parse_bool, parse_float, parse_int, to_float32
from .report import Report
from .template import BadTemplate, MissingVariable, substitute
from .tree import Map, Path, Patterns, Seq, Value

Cast = Callable[[str], "Value"]


def _float32(text: str) -> float:
    number = parse_float(text)
    return to_float32(number) if math.isfinite(number) else number


_SERVICE_CASTS: dict[str, Cast] = {
    "configs.[].mode": parse_int,
    "cpu_count": parse_int,
    "cpu_percent": parse_float,
    "cpu_period": parse_int,
    "cpu_quota": parse_int,
    "cpu_rt_period": parse_int,
    "cpu_rt_runtime": parse_int,
    "cpus": _float32,
    "cpu_shares": parse_int,
    "init": parse_bool,
    "deploy.replicas": parse_int,
    "deploy.update_config.parallelism": parse_int,
    "deploy.update_config.max_failure_ratio": parse_float,
    "deploy.rollback_config.parallelism": parse_int,
    "deploy.rollback_config.max_failure_ratio": parse_float,
    "deploy.restart_policy.max_attempts": parse_int,
    "deploy.placement.max_replicas_per_node": parse_int,
    "healthcheck.retries": parse_int,
    "healthcheck.disable": parse_bool,
    "oom_kill_disable": parse_bool,
    "oom_score_adj": parse_int,
    "pids_limit": parse_int,
    "ports.[].target": parse_int,
    "privileged": parse_bool,
    "read_only": parse_bool,
    "scale": parse_int,
    "secrets.[].mode": parse_int,
    "stdin_open": parse_bool,
    "tty": parse_bool,
    "ulimits.*": parse_int,
    "ulimits.*.hard": parse_int,
    "ulimits.*.soft": parse_int,
    "volumes.[].read_only": parse_bool,
    "volumes.[].volume.nocopy": parse_bool,
}
_CASTS: dict[str, Cast] = {
    **{f"services.*.{path}": cast for path, cast in _SERVICE_CASTS.items()},
    "networks.*.external": parse_bool,
    "networks.*.internal": parse_bool,
    "networks.*.attachable": parse_bool,
    "networks.*.enable_ipv4": parse_bool,
    "networks.*.enable_ipv6": parse_bool,
    "volumes.*.external": parse_bool,
    "secrets.*.external": parse_bool,
    "configs.*.external": parse_bool,
}
_PATTERNS = Patterns(_CASTS)


def interpolate(model: Map, environment: Mapping[str, str], report: Report) -> Map:
    """`model` with every string replaced; problems name the field and its line."""

    def walk(value: Value, path: Path) -> Value:
        match value:
            case str():
                return text(value, path)
            case Map():
                return value.like({key: walk(item, (*path, key)) for key, item in value.items()})
            case Seq():
                return value.like(walk(item, (*path, index)) for index, item in enumerate(value))
            case _:
                return value

    def text(value: str, path: Path) -> Value:
        try:
            result = substitute(value, environment.get, report.warn)
        except BadTemplate as error:
            message = f"invalid interpolation format: {error.template!r}"
            report.add(message, path=path, root=model, hint="you may need to escape any $ with another $")
            return value
        except MissingVariable as error:
            report.add(str(error), path=path, root=model, hint="set it in the environment or in .env")
            return value
        pattern = _PATTERNS.find(path)
        if pattern is None:
            return result
        try:
            return _CASTS[pattern](result)
        except ValueError as error:
            report.add(f"failed to cast to expected type: {error}", path=path, root=model)
            return value

    walked = walk(model, ())
    assert isinstance(walked, Map)
    return walked
