"""The canonical model's objects: their fields in the order they are printed, and when a field is left out."""

from __future__ import annotations

from typing import NamedTuple

from . import decode as d
from .decode import At, Decoder, Json, split_extensions
from .tree import Map, Seq, Value

EMPTY = "empty"  # left out when false, zero or empty
NIL = "nil"  # left out only when unset
NEVER = "never"


class Field(NamedTuple):
    name: str
    decode: Decoder
    omit: str = EMPTY
    shown: str = ""


def record(*fields: Field) -> Decoder:
    """An object. Nothing gives the object of nothing."""

    def decode(value: Value, at: At) -> Json:
        if value is not None and not isinstance(value, Map):
            at.wrong(value, "a mapping")
            return None
        source = Map() if value is None else value
        result: dict[str, Json] = {}
        for field in fields:
            item = field.decode(source.get(field.name), at.child(field.name))
            if (field.omit == EMPTY and not item) or (field.omit == NIL and item is None):
                continue
            result[field.shown or field.name] = item
        return result

    return decode


def maybe(decode: Decoder) -> Decoder:
    """Nothing stays nothing."""
    return lambda value, at: None if value is None else decode(value, at)


def list_of(decode: Decoder) -> Decoder:
    def decode_list(value: Value, at: At) -> Json:
        if value is None:
            return None
        if not isinstance(value, Seq):
            at.wrong(value, "a list")
            return None
        return [decode(item, at.child(index)) for index, item in enumerate(value)]

    return decode_list


def map_of(decode: Decoder, *, user_keys: bool = False) -> Decoder:
    """`user_keys`: names may start with `x-`."""

    def decode_map(value: Value, at: At) -> Json:
        if value is None:
            return None
        if not isinstance(value, Map):
            at.wrong(value, "a mapping")
            return None
        plain = value if user_keys else split_extensions(value)
        return {key: decode(plain[key], at.child(key)) for key in sorted(plain)}

    return decode_map


def env_file(value: Value, at: At) -> Json:
    shown = _ENV_FILE(value, at)
    if isinstance(shown, dict) and shown.get("required") is True and "format" not in shown:
        return shown.get("path", "")
    return shown


def required_flag(value: Value, at: At) -> Json:
    return bool(d.boolean(value, at))


def plain_text(value: Value, at: At) -> Json:
    return d.text(value, at) or ""


_ENV_FILE = record(Field("path", d.text), Field("required", required_flag, NEVER), Field("format", d.text))

HOOK = record(
    Field("command", d.command, NEVER),
    Field("image", d.text),
    Field("user", d.text),
    Field("privileged", d.boolean),
    Field("working_dir", d.text),
    Field("environment", d.variables),
    Field("per_replica", d.boolean),
)
FILE_MOUNT = record(
    Field("source", d.text),
    Field("target", d.text),
    Field("uid", d.text),
    Field("gid", d.text),
    Field("mode", d.unsigned(32), NIL),
)
BUILD = record(
    Field("context", d.text),
    Field("dockerfile", d.text),
    Field("dockerfile_inline", d.text),
    Field("entitlements", d.texts),
    Field("args", d.variables),
    Field("provenance", d.text),
    Field("sbom", d.text),
    Field("ssh", d.ssh_keys),
    Field("labels", d.labels),
    Field("cache_from", d.text_list),
    Field("cache_to", d.text_list),
    Field("no_cache", d.boolean),
    Field("no_cache_filter", d.text_list),
    Field("additional_contexts", d.labels),
    Field("pull", d.boolean),
    Field("extra_hosts", d.hosts),
    Field("isolation", d.text),
    Field("network", d.text),
    Field("target", d.text),
    Field("secrets", list_of(FILE_MOUNT)),
    Field("shm_size", d.size),
    Field("tags", d.text_list),
    Field("ulimits", map_of(d.ulimit)),
    Field("platforms", d.text_list),
    Field("privileged", d.boolean),
)
DEVELOP = record(
    Field(
        "watch",
        list_of(
            record(
                Field("path", plain_text, NEVER),
                Field("action", plain_text, NEVER),
                Field("target", d.text),
                Field("exec", HOOK, NEVER),
                Field("include", d.texts),
                Field("ignore", d.texts),
                Field("initial_sync", d.boolean),
            )
        ),
    )
)


def _size_or_zero(value: Value, at: At) -> Json:
    return d.size(value, at) or "0"


def _count16(value: Value, at: At) -> Json:
    return d.unsigned(16)(value, at) or 0


_WEIGHT = record(Field("path", plain_text, NEVER, "Path"), Field("weight", _count16, NEVER, "Weight"))
_THROTTLE = list_of(record(Field("path", plain_text, NEVER, "Path"), Field("rate", _size_or_zero, NEVER, "Rate")))
BLKIO = record(
    Field("weight", d.unsigned(16)),
    Field("weight_device", list_of(_WEIGHT)),
    Field("device_read_bps", _THROTTLE),
    Field("device_read_iops", _THROTTLE),
    Field("device_write_bps", _THROTTLE),
    Field("device_write_iops", _THROTTLE),
)
DEVICE_REQUEST = record(
    Field("capabilities", d.texts),
    Field("driver", d.text),
    Field("count", d.device_count),
    Field("device_ids", d.texts),
    Field("options", d.labels),
)


def _count(value: Value, at: At) -> Json:
    return d.integer(value, at) or 0


UPDATE = record(
    Field("parallelism", d.unsigned(64), NIL),
    Field("delay", d.some_duration),
    Field("failure_action", d.text),
    Field("monitor", d.some_duration),
    Field("max_failure_ratio", d.float32),
    Field("order", d.text),
)
RESOURCE = record(
    Field("cpus", d.cpus),
    Field("memory", d.size),
    Field("pids", d.integer),
    Field("devices", list_of(DEVICE_REQUEST)),
    Field(
        "generic_resources",
        list_of(
            record(
                Field(
                    "discrete_resource_spec",
                    maybe(record(Field("kind", plain_text, NEVER), Field("value", _count, NEVER))),
                    NIL,
                )
            )
        ),
    ),
)
DEPLOY = record(
    Field("mode", d.text),
    Field("replicas", d.integer, NIL),
    Field("labels", d.labels),
    Field("update_config", maybe(UPDATE), NIL),
    Field("rollback_config", maybe(UPDATE), NIL),
    Field(
        "resources",
        record(Field("limits", maybe(RESOURCE), NIL), Field("reservations", maybe(RESOURCE), NIL)),
        NEVER,
    ),
    Field(
        "restart_policy",
        maybe(
            record(
                Field("condition", d.text),
                Field("delay", d.duration, NIL),
                Field("max_attempts", d.unsigned(64), NIL),
                Field("window", d.duration, NIL),
            )
        ),
        NIL,
    ),
    Field(
        "placement",
        record(
            Field("constraints", d.texts),
            Field("preferences", list_of(record(Field("spread", d.text)))),
            Field("max_replicas_per_node", d.unsigned(64)),
        ),
        NEVER,
    ),
    Field("endpoint_mode", d.text),
)
DEPENDENCY = record(Field("condition", d.text), Field("restart", d.boolean), Field("required", required_flag, NEVER))
HEALTHCHECK = record(
    Field("test", d.health_test),
    Field("timeout", d.duration, NIL),
    Field("interval", d.duration, NIL),
    Field("retries", d.unsigned(64), NIL),
    Field("start_period", d.duration, NIL),
    Field("start_interval", d.duration, NIL),
    Field("disable", d.boolean),
)
ATTACHMENT = record(
    Field("priority", d.integer),
    Field("gw_priority", d.integer),
    Field("aliases", d.texts),
    Field("interface_name", d.text),
    Field("ipv4_address", d.text),
    Field("ipv6_address", d.text),
    Field("link_local_ips", d.texts),
    Field("mac_address", d.text),
    Field("driver_opts", d.driver_options),
)
PORT = record(
    Field("name", d.text),
    Field("mode", d.text),
    Field("host_ip", d.text),
    Field("target", d.unsigned(32)),
    Field("published", d.text),
    Field("protocol", d.text),
    Field("app_protocol", d.text),
)
MOUNT = record(
    Field("type", d.text),
    Field("source", d.text),
    Field("target", d.text),
    Field("read_only", d.boolean),
    Field("consistency", d.text),
    Field(
        "bind",
        maybe(
            record(
                Field("selinux", d.text),
                Field("propagation", d.text),
                Field("create_host_path", d.boolean),
                Field("recursive", d.text),
            )
        ),
        NIL,
    ),
    Field(
        "volume",
        maybe(record(Field("labels", d.labels), Field("nocopy", d.boolean), Field("subpath", d.text))),
        NIL,
    ),
    Field("tmpfs", maybe(record(Field("size", d.size), Field("mode", d.unsigned(32)))), NIL),
    Field("image", maybe(record(Field("subpath", d.text))), NIL),
)
MODEL_BINDING = record(Field("endpoint_var", d.text), Field("model_var", d.text))
PROVIDER = record(Field("type", d.text), Field("options", d.anything))
