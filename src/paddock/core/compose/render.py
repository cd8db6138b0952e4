"""A project as text: JSON and YAML as `docker compose config` prints them, and its lists of names and hashes."""

from __future__ import annotations

import hashlib
import re

import yaml

from .decode import Json
from .go_text import format_float, json_float
from .project import Project
from .report import Report
from .selection import with_dependencies
from .tree import Map, Seq

_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
        '"': '\\"',
        "\\": "\\\\",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\b": "\\b",
        "\f": "\\f",
        **{chr(code): f"\\u{code:04x}" for code in range(32) if chr(code) not in "\n\r\t\b\f"},
    }
)


def canonical(project: Project) -> dict[str, Json]:
    """What `docker compose config --format json` prints: the model by sorted section, every `$` doubled."""
    shown = {key: project.model[key] for key in sorted(project.model)}
    if project.interpolated:
        shown["services"] = {name: _as_2_26(service) for name, service in _services(project).items()}
    escaped = _doubled(shown) if project.interpolated else shown
    assert isinstance(escaped, dict)
    return escaped


def _as_2_26(service: dict[str, Json]) -> dict[str, Json]:
    """docker compose 2.26 loses `gw_priority` on its way to the output."""
    networks = service.get("networks")
    if not isinstance(networks, dict) or not any(isinstance(item, dict) for item in networks.values()):
        return service
    shown: dict[str, Json] = {}
    for name, item in networks.items():
        shown[name] = {k: v for k, v in item.items() if k != "gw_priority"} if isinstance(item, dict) else item
    return {key: shown if key == "networks" else item for key, item in service.items()}


def _doubled(value: Json) -> Json:
    match value:
        case str():
            return value.replace("$", "$$")
        case dict():
            return {key.replace("$", "$$"): _doubled(item) for key, item in value.items()}
        case list():
            return [_doubled(item) for item in value]
        case _:
            return value


def render_json(project: Project) -> str:
    return encode(canonical(project), indent=2)


def encode(value: Json, *, indent: int = 0, depth: int = 0) -> str:
    """encoding/json's text; `indent=0` is compact."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return json_float(value)
        case str():
            return f'"{value.translate(_ESCAPES)}"'
        case dict():
            colon = '": ' if indent else '":'
            items = [
                f'"{k.translate(_ESCAPES)}{colon}{encode(v, indent=indent, depth=depth + 1)}' for k, v in value.items()
            ]
            return _bracketed("{}", items, indent, depth)
        case list():
            items = [encode(item, indent=indent, depth=depth + 1) for item in value]
            return _bracketed("[]", items, indent, depth)


def _bracketed(brackets: str, items: list[str], indent: int, depth: int) -> str:
    if not items:
        return brackets
    if not indent:
        return f"{brackets[0]}{','.join(items)}{brackets[1]}"
    inner, outer = "\n" + " " * indent * (depth + 1), "\n" + " " * indent * depth
    return f"{brackets[0]}{inner}{f',{inner}'.join(items)}{outer}{brackets[1]}"


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" in text and not re.search(r"[ \t]+\n|^\s", text):
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    plain = _PLAIN.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    quoted = plain != "tag:yaml.org,2002:str" or _YAML_1_1.fullmatch(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


def _represent_float(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", format_float(number))


_YAML_1_1 = re.compile(
    r"[yYnN]|[+-]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?|0[oO][0-7]+|"
)
_PLAIN = yaml.resolver.Resolver()
_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(float, _represent_float)


def render_yaml(project: Project) -> str:
    """The canonical model as YAML: objects never set are left out, the services' own `x-` keys are shown.

    It reads as what compose prints, not byte for byte: quotes may differ, and deeper `x-` keys are not shown.
    """
    shown = canonical(project)
    services = shown.get("services")
    if project.interpolated and isinstance(services, dict):
        shown["services"] = {name: _service_for_yaml(name, item, project) for name, item in services.items()}
        networks = shown.get("networks")
        if isinstance(networks, dict):
            shown["networks"] = {name: _for_yaml(item) for name, item in networks.items()}
    order = ("name", "services", "networks", "volumes", "secrets", "configs", "models")
    head = {key: shown[key] for key in order if key in shown}
    ordered = {**head, **shown} if project.interpolated else shown
    return str(yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31))


_UNSET_IN_YAML = ("command", "entrypoint", "ipam", "resources", "placement", "exec")


def _for_yaml(value: Json) -> Json:
    """Less than JSON shows: objects and commands that were never set are left out."""
    if isinstance(value, list):
        return [_for_yaml(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {_YAML_NAMES.get(key, key): _for_yaml(item) for key, item in value.items()}
    if isinstance(shown.get("ulimits"), dict):
        shown["ulimits"] = _limits_for_yaml(shown["ulimits"])
    return {key: item for key, item in shown.items() if key not in _UNSET_IN_YAML or item not in (None, {})}


_YAML_NAMES = {"Path": "path", "Weight": "weight", "Rate": "rate"}


def _service_for_yaml(name: str, service: Json, project: Project) -> Json:
    if not isinstance(service, dict):
        return service
    shown = {key: item if key in _USER_KEYS else _for_yaml(item) for key, item in service.items()}
    if "ulimits" in shown:
        shown["ulimits"] = _limits_for_yaml(shown["ulimits"])
    kept = {key: item for key, item in shown.items() if key not in _UNSET_IN_YAML or item is not None}
    own = _doubled(dict(project.extensions.get(name, {})))
    return {**kept, **(own if isinstance(own, dict) else {})}


def _limits_for_yaml(limits: Json) -> Json:
    """YAML shows both limits, zero or not."""
    if not isinstance(limits, dict):
        return limits
    zero: dict[str, Json] = {"soft": 0, "hard": 0}
    return {name: {**zero, **item} if isinstance(item, dict) else item for name, item in limits.items()}


_USER_KEYS = ("environment", "labels", "annotations", "sysctls", "networks", "depends_on", "logging", "storage_opt")


def service_names(project: Project) -> list[str]:
    """Each service after those it depends on."""
    services = _services(project)
    return with_dependencies(services, tuple(sorted(services)), Report())


def volume_names(project: Project) -> list[str]:
    volumes = project.model.get("volumes")
    return sorted(volumes) if isinstance(volumes, dict | Map) else []


def image_names(project: Project) -> list[str]:
    """One per service; services that are only built get the name compose gives the result."""
    services = _services(project)
    return [str(services[name].get("image") or f"{project.name}-{name}") for name in sorted(services)]


def profile_names(project: Project) -> list[str]:
    """Of all services, disabled ones too."""
    found: dict[str, None] = {}
    for service in (*_services(project).values(), *project.disabled.values()):
        own = service.get("profiles") if isinstance(service, dict) else None
        for profile in own if isinstance(own, list | Seq) else ():
            found[str(profile)] = None
    return sorted(found)


def service_hashes(project: Project) -> dict[str, str]:
    """Service -> the configuration hash compose labels containers with.

    The project must be loaded with `resolve_environment=False`, as compose does for `--hash`.
    """
    default_platform = project.environment.get("DOCKER_DEFAULT_PLATFORM", "")
    services = _services(project)
    return {name: service_hash(services[name], default_platform) for name in sorted(services)}


def service_hash(service: dict[str, Json], default_platform: str = "") -> str:
    """compose's ServiceHash: SHA-256 of the service's JSON, less what does not need a new container."""
    hashed = {key: item for key, item in _as_2_26(service).items() if key not in ("build", "pull_policy", "scale")}
    deploy = hashed.get("deploy")
    if isinstance(deploy, dict):
        hashed["deploy"] = {key: item for key, item in deploy.items() if key != "replicas"}
    if default_platform and "build" in service and not service.get("platform"):
        hashed = _with_platform(hashed, default_platform)
    return hashlib.sha256(encode(hashed).encode()).hexdigest()


_AFTER_PLATFORM = (
    *("ports", "privileged", "read_only", "restart", "runtime", "secrets", "security_opt", "shm_size", "stdin_open"),
    *("stop_grace_period", "stop_signal", "storage_opt", "sysctls", "tmpfs", "tty", "ulimits", "user", "userns_mode"),
    *("uts", "volumes", "volumes_from", "working_dir", "post_start", "pre_start", "pre_stop"),
)


def _with_platform(service: dict[str, Json], platform: str) -> dict[str, Json]:
    before = {key: item for key, item in service.items() if key not in _AFTER_PLATFORM}
    return {**before, "platform": platform, **{key: service[key] for key in service if key in _AFTER_PLATFORM}}


def _services(project: Project) -> dict[str, dict[str, Json]]:
    services = project.model.get("services")
    found = services if isinstance(services, dict) else {}
    return {name: item for name, item in found.items() if isinstance(item, dict)}
