"""The canonical model's services and top-level resources, on the objects of `shapes`."""

from __future__ import annotations

from . import decode as d
from . import shapes as s
from .decode import At, Json
from .shapes import NEVER, NIL, Field, list_of, map_of, maybe, record
from .tree import Map, Value

SERVICE = record(
    Field("profiles", d.texts),
    Field("annotations", d.labels),
    Field("attach", d.boolean, NIL),
    Field("build", maybe(s.BUILD), NIL),
    Field("develop", maybe(s.DEVELOP), NIL),
    Field("blkio_config", maybe(s.BLKIO), NIL),
    Field("cap_add", d.texts),
    Field("cap_drop", d.texts),
    Field("cgroup_parent", d.text),
    Field("cgroup", d.text),
    Field("cpu_count", d.integer),
    Field("cpu_percent", d.float32),
    Field("cpu_period", d.integer),
    Field("cpu_quota", d.integer),
    Field("cpu_rt_period", d.integer),
    Field("cpu_rt_runtime", d.integer),
    Field("cpus", d.float32),
    Field("cpuset", d.text),
    Field("cpu_shares", d.integer),
    Field("command", d.command, NEVER),
    Field("configs", list_of(s.FILE_MOUNT)),
    Field("container_name", d.text),
    Field(
        "credential_spec",
        maybe(record(Field("config", d.text), Field("file", d.text), Field("registry", d.text))),
        NIL,
    ),
    Field("depends_on", map_of(s.DEPENDENCY, user_keys=True)),
    Field("deploy", maybe(s.DEPLOY), NIL),
    Field("device_cgroup_rules", d.texts),
    Field("devices", list_of(record(Field("source", d.text), Field("target", d.text), Field("permissions", d.text)))),
    Field("dns", d.text_list),
    Field("dns_opt", d.texts),
    Field("dns_search", d.text_list),
    Field("domainname", d.text),
    Field("entrypoint", d.command, NEVER),
    Field("environment", d.variables),
    Field("env_file", list_of(s.env_file)),
    Field("expose", d.printed_list),
    Field("extends", maybe(record(Field("file", d.text), Field("service", d.text))), NIL),
    Field("external_links", d.texts),
    Field("extra_hosts", d.hosts),
    Field("group_add", d.texts),
    Field("gpus", list_of(s.DEVICE_REQUEST)),
    Field("hostname", d.text),
    Field("healthcheck", maybe(s.HEALTHCHECK), NIL),
    Field("image", d.text),
    Field("init", d.boolean, NIL),
    Field("ipc", d.text),
    Field("isolation", d.text),
    Field("labels", d.labels),
    Field("label_file", d.texts),
    Field("links", d.texts),
    Field("logging", maybe(record(Field("driver", d.text), Field("options", d.driver_options))), NIL),
    Field("mem_limit", d.size),
    Field("mem_reservation", d.size),
    Field("memswap_limit", d.size),
    Field("mem_swappiness", d.size),
    Field("mac_address", d.text),
    Field("models", map_of(maybe(s.MODEL_BINDING))),
    Field("network_mode", d.text),
    Field("networks", map_of(maybe(s.ATTACHMENT))),
    Field("oom_kill_disable", d.boolean),
    Field("oom_score_adj", d.integer),
    Field("pid", d.text),
    Field("pids_limit", d.integer),
    Field("platform", d.text),
    Field("ports", list_of(s.PORT)),
    Field("privileged", d.boolean),
    Field("provider", maybe(s.PROVIDER), NIL),
    Field("pull_policy", d.text),
    Field("pull_refresh_after", d.text),
    Field("read_only", d.boolean),
    Field("restart", d.text),
    Field("runtime", d.text),
    Field("scale", d.integer, NIL),
    Field("secrets", list_of(s.FILE_MOUNT)),
    Field("security_opt", d.texts),
    Field("shm_size", d.size),
    Field("stdin_open", d.boolean),
    Field("stop_grace_period", d.duration, NIL),
    Field("stop_signal", d.text),
    Field("storage_opt", d.text_map),
    Field("sysctls", d.labels),
    Field("tmpfs", d.text_list),
    Field("tty", d.boolean),
    Field("ulimits", map_of(s.maybe(d.ulimit))),
    Field("use_api_socket", d.boolean),
    Field("user", d.text),
    Field("userns_mode", d.text),
    Field("uts", d.text),
    Field("volumes", list_of(s.MOUNT)),
    Field("volumes_from", d.texts),
    Field("working_dir", d.text),
    Field("post_start", list_of(s.HOOK)),
    Field("pre_start", list_of(s.HOOK)),
    Field("pre_stop", list_of(s.HOOK)),
)
POOL = record(
    Field("subnet", d.text), Field("gateway", d.text), Field("ip_range", d.text), Field("aux_addresses", d.labels)
)
NETWORK = record(
    Field("name", d.text),
    Field("driver", d.text),
    Field("driver_opts", d.driver_options),
    Field("ipam", record(Field("driver", d.text), Field("config", list_of(POOL))), NEVER),
    Field("external", d.boolean),
    Field("internal", d.boolean),
    Field("attachable", d.boolean),
    Field("labels", d.labels),
    Field("enable_ipv4", d.boolean, NIL),
    Field("enable_ipv6", d.boolean, NIL),
)
VOLUME = record(
    Field("name", d.text),
    Field("driver", d.text),
    Field("driver_opts", d.driver_options),
    Field("external", d.boolean),
    Field("labels", d.labels),
)
FILE_OBJECT = record(
    Field("name", d.text),
    Field("file", d.text),
    Field("environment", d.text),
    Field("content", d.text),
    Field("external", d.boolean),
    Field("labels", d.labels),
    Field("driver", d.text),
    Field("driver_opts", d.text_map),
    Field("template_driver", d.text),
)
MODEL = record(
    Field("name", d.text), Field("model", d.text), Field("context_size", d.integer), Field("runtime_flags", d.texts)
)
SECTIONS = (
    ("networks", map_of(NETWORK, user_keys=True)),
    ("services", map_of(SERVICE, user_keys=True)),
    ("volumes", map_of(VOLUME, user_keys=True)),
    ("secrets", map_of(FILE_OBJECT, user_keys=True)),
    ("configs", map_of(FILE_OBJECT, user_keys=True)),
    ("models", map_of(MODEL, user_keys=True)),
)


def bind(model: Map, at: At) -> dict[str, dict[str, dict[str, Json]]]:
    """Section -> name -> canonical object, each section sorted by name."""
    sections: dict[str, dict[str, dict[str, Json]]] = {}
    for name, decode in SECTIONS:
        bound = decode(model.get(name), at.child(name))
        entries = bound if isinstance(bound, dict) else {}
        sections[name] = {key: item for key, item in entries.items() if isinstance(item, dict)}
    return sections


def extensions_of(model: Map) -> dict[str, Json]:
    return {key: d.to_json(model[key]) for key in sorted(model) if key.startswith("x-")}


def service_extensions(model: Map) -> dict[str, dict[str, Json]]:
    """Service -> its `x-` keys, for services that have any."""
    services: Value = model.get("services")
    found = {}
    for name, service in services.items() if isinstance(services, Map) else ():
        if isinstance(service, Map) and extensions_of(service):
            found[name] = extensions_of(service)
    return found
