"""What keys a compose file may have and of what kind: the Compose Specification's schema as tables.

It is that of docker compose 2.26, plus what the specification gained since (`models`, `provider`, `pre_start`,
`use_api_socket`, `provenance`, image volumes and more); section by section after the specification's text.
"""

from __future__ import annotations

import math

from .report import Report
from .rules import ANY_KINDS, Kind, ListOf, MapOf, OneOf, Record, Rule, Scope
from .tree import Map, Path, Seq, Value

NAMES = r"[a-zA-Z0-9._-]+"

ANY = Kind(*ANY_KINDS)
TEXT = Kind("string")
BOOL = Kind("boolean", "string")
INT = Kind("integer", "string")
NUMBER = Kind("number", "string")
TEXTS = ListOf(TEXT)
UNIQUE_TEXTS = ListOf(TEXT, unique=True)
TEXT_OR_LIST = OneOf(TEXT, UNIQUE_TEXTS)
LIST_OR_DICT = OneOf(MapOf(Kind("string", "number", "boolean", "null")), UNIQUE_TEXTS)
COMMAND = OneOf(Kind("null"), TEXT, TEXTS)
EXTRA_HOSTS = OneOf(MapOf(OneOf(TEXT, TEXTS)), UNIQUE_TEXTS)
OPTIONS = MapOf(NUMBER, closed=False)

HOOK_FIELDS: dict[str, Rule] = {
    "command": COMMAND,
    "user": TEXT,
    "privileged": BOOL,
    "working_dir": TEXT,
    "environment": LIST_OR_DICT,
}
HOOK = Record(HOOK_FIELDS)
PRE_START_HOOK = Record({**HOOK_FIELDS, "image": TEXT, "per_replica": BOOL})

FILE_MOUNTS = ListOf(OneOf(TEXT, Record({"source": TEXT, "target": TEXT, "uid": TEXT, "gid": TEXT, "mode": NUMBER})))
ULIMITS = MapOf(OneOf(INT, Record({"hard": INT, "soft": INT}, required=("soft", "hard"))), names="[a-z]+", closed=False)

BUILD = OneOf(
    TEXT,
    Record(
        {
            "context": TEXT,
            "dockerfile": TEXT,
            "dockerfile_inline": TEXT,
            "entitlements": TEXTS,
            "args": LIST_OR_DICT,
            "ssh": LIST_OR_DICT,
            "labels": LIST_OR_DICT,
            "cache_from": TEXTS,
            "cache_to": TEXTS,
            "no_cache": BOOL,
            "no_cache_filter": TEXT_OR_LIST,
            "additional_contexts": LIST_OR_DICT,
            "network": TEXT,
            "provenance": BOOL,
            "sbom": BOOL,
            "pull": BOOL,
            "target": TEXT,
            "shm_size": INT,
            "extra_hosts": EXTRA_HOSTS,
            "isolation": TEXT,
            "privileged": BOOL,
            "secrets": FILE_MOUNTS,
            "tags": TEXTS,
            "ulimits": ULIMITS,
            "platforms": TEXTS,
        }
    ),
)

BLKIO_LIMITS = ListOf(Record({"path": TEXT, "rate": INT}, extensions=False))
BLKIO = Record(
    {
        "device_read_bps": BLKIO_LIMITS,
        "device_read_iops": BLKIO_LIMITS,
        "device_write_bps": BLKIO_LIMITS,
        "device_write_iops": BLKIO_LIMITS,
        "weight": INT,
        "weight_device": ListOf(Record({"path": TEXT, "weight": INT}, extensions=False)),
    },
    extensions=False,
)

CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
DEPENDS_ON = OneOf(
    UNIQUE_TEXTS,
    MapOf(
        Record(
            {"restart": BOOL, "required": Kind("boolean"), "condition": Kind("string", words=CONDITIONS)},
            required=("condition",),
        ),
        names=NAMES,
    ),
)

HEALTHCHECK = Record(
    {
        "disable": BOOL,
        "interval": TEXT,
        "retries": NUMBER,
        "test": OneOf(TEXT, TEXTS),
        "timeout": TEXT,
        "start_period": TEXT,
        "start_interval": TEXT,
    }
)

WATCH_ACTIONS = ("rebuild", "sync", "restart", "sync+restart", "sync+exec")
DEVELOP = Record(
    {
        "watch": ListOf(
            Record(
                {
                    "ignore": OneOf(TEXT, TEXTS),
                    "include": OneOf(TEXT, TEXTS),
                    "initial_sync": Kind("boolean"),
                    "path": TEXT,
                    "action": Kind("string", words=WATCH_ACTIONS),
                    "target": TEXT,
                    "exec": HOOK,
                },
                required=("path", "action"),
            )
        )
    },
    also=("null",),
)

DEVICE_REQUEST: dict[str, Rule] = {
    "capabilities": UNIQUE_TEXTS,
    "count": INT,
    "device_ids": UNIQUE_TEXTS,
    "driver": TEXT,
    "options": LIST_OR_DICT,
}
UPDATE = Record(
    {
        "parallelism": INT,
        "delay": TEXT,
        "failure_action": TEXT,
        "monitor": TEXT,
        "max_failure_ratio": NUMBER,
        "order": Kind("string", words=("start-first", "stop-first")),
    }
)
GENERIC_RESOURCES = ListOf(Record({"discrete_resource_spec": Record({"kind": TEXT, "value": NUMBER})}))
DEPLOY = Record(
    {
        "mode": TEXT,
        "endpoint_mode": TEXT,
        "replicas": INT,
        "labels": LIST_OR_DICT,
        "rollback_config": UPDATE,
        "update_config": UPDATE,
        "resources": Record(
            {
                "limits": Record({"cpus": NUMBER, "memory": TEXT, "pids": INT}),
                "reservations": Record(
                    {
                        "cpus": NUMBER,
                        "memory": TEXT,
                        "generic_resources": GENERIC_RESOURCES,
                        "devices": ListOf(Record(DEVICE_REQUEST, required=("capabilities",))),
                    }
                ),
            }
        ),
        "restart_policy": Record({"condition": TEXT, "delay": TEXT, "max_attempts": INT, "window": TEXT}),
        "placement": Record(
            {"constraints": TEXTS, "preferences": ListOf(Record({"spread": TEXT})), "max_replicas_per_node": INT}
        ),
    },
    also=("null",),
)

NETWORK_ATTACHMENT = Record(
    {
        "aliases": UNIQUE_TEXTS,
        "interface_name": TEXT,
        "ipv4_address": TEXT,
        "ipv6_address": TEXT,
        "link_local_ips": UNIQUE_TEXTS,
        "mac_address": TEXT,
        "driver_opts": OPTIONS,
        "priority": Kind("number"),
        "gw_priority": Kind("number"),
    },
    also=("null",),
)
PORTS = ListOf(
    OneOf(
        NUMBER,
        Record(
            {
                "name": TEXT,
                "mode": TEXT,
                "host_ip": TEXT,
                "target": INT,
                "published": INT,
                "protocol": TEXT,
                "app_protocol": TEXT,
            }
        ),
    ),
    unique=True,
)
VOLUMES = ListOf(
    OneOf(
        TEXT,
        Record(
            {
                "type": TEXT,
                "source": TEXT,
                "target": TEXT,
                "read_only": BOOL,
                "consistency": TEXT,
                "bind": Record(
                    {
                        "propagation": TEXT,
                        "create_host_path": BOOL,
                        "recursive": Kind("string", words=("enabled", "disabled", "writable", "readonly")),
                        "selinux": Kind("string", words=("z", "Z")),
                    }
                ),
                "volume": Record({"nocopy": BOOL, "subpath": TEXT, "labels": LIST_OR_DICT}),
                "tmpfs": Record({"size": Kind("integer", "string", low=0), "mode": NUMBER}),
                "image": Record({"subpath": TEXT}),
            },
            required=("type",),
        ),
    ),
    unique=True,
)
ENV_FILE = OneOf(
    TEXT,
    ListOf(OneOf(TEXT, Record({"path": TEXT, "format": TEXT, "required": BOOL}, required=("path",), extensions=False))),
)
PROVIDER_OPTION = Kind("string", "number", "boolean")
PROVIDER = Record(
    {"type": TEXT, "options": MapOf(OneOf(PROVIDER_OPTION, ListOf(PROVIDER_OPTION)), closed=False)}, required=("type",)
)
SERVICE_MODELS = OneOf(
    UNIQUE_TEXTS,
    MapOf(Record({"endpoint_var": TEXT, "model_var": TEXT}, also=("null",)), names=NAMES, closed=False),
)
PULL_POLICY = r"always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+"

SERVICE = Record(
    {
        "develop": DEVELOP,
        "deploy": DEPLOY,
        "annotations": LIST_OR_DICT,
        "attach": BOOL,
        "build": BUILD,
        "blkio_config": BLKIO,
        "cap_add": UNIQUE_TEXTS,
        "cap_drop": UNIQUE_TEXTS,
        "cgroup": Kind("string", words=("host", "private")),
        "cgroup_parent": TEXT,
        "command": COMMAND,
        "configs": FILE_MOUNTS,
        "container_name": TEXT,
        "cpu_count": Kind("integer", "string", low=0),
        "cpu_percent": Kind("integer", "string", low=0, high=100),
        "cpu_shares": NUMBER,
        "cpu_quota": NUMBER,
        "cpu_period": NUMBER,
        "cpu_rt_period": NUMBER,
        "cpu_rt_runtime": NUMBER,
        "cpus": NUMBER,
        "cpuset": TEXT,
        "credential_spec": Record({"config": TEXT, "file": TEXT, "registry": TEXT}),
        "depends_on": DEPENDS_ON,
        "device_cgroup_rules": UNIQUE_TEXTS,
        "devices": ListOf(
            OneOf(TEXT, Record({"source": TEXT, "target": TEXT, "permissions": TEXT}, required=("source",)))
        ),
        "dns": TEXT_OR_LIST,
        "dns_opt": UNIQUE_TEXTS,
        "dns_search": TEXT_OR_LIST,
        "domainname": TEXT,
        "entrypoint": COMMAND,
        "env_file": ENV_FILE,
        "label_file": OneOf(TEXT, TEXTS),
        "environment": LIST_OR_DICT,
        "expose": ListOf(NUMBER, unique=True),
        "extends": OneOf(TEXT, Record({"service": TEXT, "file": TEXT}, required=("service",), extensions=False)),
        "external_links": UNIQUE_TEXTS,
        "extra_hosts": EXTRA_HOSTS,
        "gpus": OneOf(Kind("string", words=("all",)), ListOf(Record(DEVICE_REQUEST, open=True))),
        "group_add": ListOf(NUMBER, unique=True),
        "healthcheck": HEALTHCHECK,
        "hostname": TEXT,
        "image": TEXT,
        "init": BOOL,
        "ipc": TEXT,
        "isolation": TEXT,
        "labels": LIST_OR_DICT,
        "links": UNIQUE_TEXTS,
        "logging": Record({"driver": TEXT, "options": MapOf(Kind("string", "number", "null"), closed=False)}),
        "mac_address": TEXT,
        "mem_limit": NUMBER,
        "mem_reservation": INT,
        "mem_swappiness": INT,
        "memswap_limit": NUMBER,
        "models": SERVICE_MODELS,
        "network_mode": TEXT,
        "networks": OneOf(UNIQUE_TEXTS, MapOf(NETWORK_ATTACHMENT, names=NAMES)),
        "oom_kill_disable": BOOL,
        "oom_score_adj": Kind("integer", "string", low=-1000, high=1000),
        "pid": Kind("string", "null"),
        "pids_limit": NUMBER,
        "platform": TEXT,
        "ports": PORTS,
        "post_start": ListOf(HOOK),
        "pre_start": ListOf(PRE_START_HOOK),
        "pre_stop": ListOf(HOOK),
        "privileged": BOOL,
        "profiles": UNIQUE_TEXTS,
        "provider": PROVIDER,
        "pull_policy": Kind("string", pattern=PULL_POLICY),
        "pull_refresh_after": TEXT,
        "read_only": BOOL,
        "restart": TEXT,
        "runtime": TEXT,
        "scale": INT,
        "security_opt": UNIQUE_TEXTS,
        "shm_size": NUMBER,
        "secrets": FILE_MOUNTS,
        "sysctls": LIST_OR_DICT,
        "stdin_open": BOOL,
        "stop_grace_period": TEXT,
        "stop_signal": TEXT,
        "storage_opt": Record({}, open=True),
        "tmpfs": TEXT_OR_LIST,
        "tty": BOOL,
        "ulimits": ULIMITS,
        "use_api_socket": Kind("boolean"),
        "user": TEXT,
        "uts": TEXT,
        "userns_mode": TEXT,
        "volumes": VOLUMES,
        "volumes_from": UNIQUE_TEXTS,
        "working_dir": TEXT,
    }
)

EXTERNAL = Record({"name": TEXT}, also=("boolean", "string"))
OPEN_EXTERNAL = Record({"name": TEXT}, open=True, also=("boolean", "string"))
IPAM = Record(
    {
        "driver": TEXT,
        "config": ListOf(Record({"subnet": TEXT, "ip_range": TEXT, "gateway": TEXT, "aux_addresses": MapOf(TEXT)})),
        "options": MapOf(TEXT),
    }
)
NETWORK = Record(
    {
        "name": TEXT,
        "driver": TEXT,
        "driver_opts": OPTIONS,
        "ipam": IPAM,
        "external": EXTERNAL,
        "internal": BOOL,
        "enable_ipv4": BOOL,
        "enable_ipv6": BOOL,
        "attachable": BOOL,
        "labels": LIST_OR_DICT,
    },
    also=("null",),
)
VOLUME = Record(
    {"name": TEXT, "driver": TEXT, "driver_opts": OPTIONS, "external": EXTERNAL, "labels": LIST_OR_DICT},
    also=("null",),
)
FILE_OBJECT: dict[str, Rule] = {
    "name": TEXT,
    "environment": TEXT,
    "file": TEXT,
    "external": OPEN_EXTERNAL,
    "labels": LIST_OR_DICT,
    "template_driver": TEXT,
}
SECRET = Record({**FILE_OBJECT, "driver": TEXT, "driver_opts": OPTIONS})
CONFIG = Record({**FILE_OBJECT, "content": TEXT})
MODEL = Record(
    {"name": TEXT, "model": TEXT, "context_size": Kind("integer"), "runtime_flags": TEXTS}, required=("model",)
)
INCLUDE = OneOf(
    TEXT, Record({"path": TEXT_OR_LIST, "env_file": TEXT_OR_LIST, "project_directory": TEXT}, extensions=False)
)

FILE = Record(
    {
        "version": TEXT,
        "name": TEXT,
        "include": ListOf(INCLUDE),
        "services": MapOf(SERVICE, names=NAMES),
        "networks": MapOf(NETWORK, names=r".*"),
        "volumes": MapOf(VOLUME, names=NAMES),
        "secrets": MapOf(SECRET, names=NAMES),
        "configs": MapOf(CONFIG, names=NAMES),
        "models": MapOf(MODEL, names=NAMES),
    }
)


def check_schema(model: Map, report: Report) -> None:
    FILE.check(model, (), Scope(model, report))
    _finite(model, (), model, report)


def _finite(value: Value, path: Path, model: Map, report: Report) -> None:
    """JSON has no infinity, so no field may be one, extensions included."""
    if isinstance(value, float) and not math.isfinite(value):
        report.add(f"unsupported value: {value}", path=path, root=model)
    elif isinstance(value, Map):
        for key, item in value.items():
            _finite(item, (*path, key), model, report)
    elif isinstance(value, Seq):
        for index, item in enumerate(value):
            _finite(item, (*path, index), model, report)
