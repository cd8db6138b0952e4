"""What random compose projects are grown from: for each field, the values it may take."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

SERVICES = ("web", "db", "app")
NETWORKS = ("front", "back", "default")
VOLUMES = ("data", "logs")
FILE_OBJECTS = ("one", "two")
Make = Callable[[random.Random], Any]


def pick(*options: Any) -> Make:
    """One of `options`; one that is a rule is grown."""
    return lambda chance: _made(chance.choice(options), chance)


def _made(option: Any, chance: random.Random) -> Any:
    return option(chance) if callable(option) else option


def many(item: Make, most: int = 3) -> Make:
    """A list of different items, seldom empty."""

    def make(chance: random.Random) -> list[Any]:
        made: list[Any] = []
        for _ in range(chance.randint(0 if chance.random() < 0.1 else 1, most)):
            one = item(chance)
            if one not in made:
                made.append(one)
        return made

    return make


def fields(most: int = 3, **options: Make) -> Make:
    def make(chance: random.Random) -> dict[str, Any]:
        keys = chance.sample(sorted(options), min(len(options), chance.randint(0, most)))
        return {key: options[key](chance) for key in keys}

    return make


def pairs(value: Make) -> Make:
    def make(chance: random.Random) -> Any:
        keys = chance.sample(("A", "B", "C", "a.b", "HOST", "x-k"), chance.randint(0, 3))
        if chance.random() < 0.5:
            return {key: value(chance) for key in keys}
        return [
            key if chance.random() < 0.2 else f"{key}={chance.choice(('1', '', 'x=y', '${V}', 'a b'))}" for key in keys
        ]

    return make


WORD = pick(
    "x",
    "y:1",
    "a b",
    "",
    "${V}",
    "${U:-d}",
    "${E-e}",
    "$$V",
    "5",
    "true",
    "é<&>",
    "${U-a${V}}",
    "${V:+w}",
    "1e3",
    "~",
    "null",
)
NAME = pick("x", "nginx:1", "${V}", "${U:-img}", "a/b@c")
SCALAR = pick(
    1,
    -1,
    0,
    1.5,
    100000.0,
    1e6,
    1e-7,
    True,
    False,
    None,
    "x",
    "",
    "yes",
    "0x10",
    "010",
    "1_000",
    "2020-01-02",
    "${V}",
    "${E}",
)
BOOL = pick(True, False, "true", "False", "yes", "off", "${B}")
INT = pick(0, 1, 5, "3", "${N}", 10)
SIZE = pick("1g", "512m", "1.5kb", 1024, "0", "10 MiB", "${N}k", "5b", 0)
DURATION = pick("1s", "1m30s", "0s", "1.5h", "90s", "100ms", "1us", "0", "2h0m1s")
NUMBER = pick(1, 0.5, "0.25", "${N}", 2, 0.1, 0)
PORT = pick(
    80,
    "81",
    "8080:80",
    "${P}:80",
    "1-3",
    "5000-5002:6000-6002",
    "127.0.0.1:1:2",
    "[::1]:5:6",
    "53:53/udp",
    "9000-9005:90",
    "1.2.3.4::7",
    "7/tcp",
    fields(
        5,
        target=INT,
        published=pick(80, "81", "1-5"),
        protocol=pick("tcp", "udp"),
        mode=pick("host"),
        host_ip=pick("1.1.1.1"),
        name=WORD,
    ),
)
LONG_MOUNT = fields(
    5,
    source=pick("data", "./s", "/abs", "logs"),
    target=pick("/t", "/t/", "/data"),
    read_only=BOOL,
    bind=fields(2, propagation=pick("shared"), create_host_path=BOOL, selinux=pick("z")),
    volume=fields(2, nocopy=BOOL, subpath=pick("s")),
    tmpfs=fields(2, size=SIZE, mode=pick(0o755, 1777)),
)
MOUNT = pick(
    "/anon",
    "data:/data",
    "logs:/logs:ro",
    "./rel:/rel",
    "../up:/up:z",
    "~/h:/h",
    "/abs:/abs:rw,rshared",
    "data:/n:nocopy",
    "/a/../b",
    "./rel:/data",
    ".:/",
    "C:\\x:/w",
    "data:/d",
    "logs:b",
    "v",
    lambda chance: {
        "type": chance.choice(("bind", "volume", "tmpfs")),
        "source": "data",
        "target": "/q",
        **LONG_MOUNT(chance),
    },
)
COMMAND = pick(
    "a b",
    "sh -c 'x y'",
    "",
    'a "b c" d',
    "a\\ b",
    "x | y",
    "\\t a",
    "$(x y) z",
    "`q r`",
    "'",
    ["a", "b c"],
    [],
    None,
    "a\\'b",
    "''",
    "1>2",
    "a#b",
    "a ''b''",
)
DEPENDS = pick(
    many(pick(*SERVICES)),
    lambda chance: {
        name: {
            "condition": chance.choice(("service_started", "service_healthy")),
            **fields(2, restart=BOOL, required=pick(True, False))(chance),
        }
        for name in chance.sample(SERVICES, chance.randint(0, 2))
    },
)
ATTACH = pick(
    many(pick(*NETWORKS)),
    lambda chance: {
        name: chance.choice(
            (
                None,
                {},
                fields(
                    4,
                    aliases=many(pick("q", "r")),
                    ipv4_address=pick("10.0.0.9"),
                    priority=pick(1, 2.5),
                    mac_address=pick("02:00:00:00:00:01"),
                    driver_opts=pairs_of_numbers,
                )(chance),
            )
        )
        for name in chance.sample(NETWORKS, chance.randint(0, 3))
    },
)


def pairs_of_numbers(chance: random.Random) -> dict[str, Any]:
    return {key: chance.choice((1, "2", 1.5)) for key in chance.sample(("k", "x-l"), chance.randint(0, 2))}


FILE_MOUNT = pick(
    *FILE_OBJECTS,
    lambda chance: {
        "source": chance.choice(FILE_OBJECTS),
        **fields(4, target=pick("/t", "t"), uid=pick("1"), gid=pick("2"), mode=pick(0o440, "0440", 288))(chance),
    },
)
ULIMITS = fields(2, nofile=pick(1, "2", {"soft": 1, "hard": 2}, {"soft": "${N}", "hard": "4"}, 0), nproc=pick(5))
HEALTH = fields(
    5,
    test=pick("x", ["CMD", "a"], ["CMD-SHELL", "b"], ["NONE"], []),
    interval=DURATION,
    timeout=DURATION,
    retries=INT,
    start_period=DURATION,
    disable=BOOL,
)
RESOURCE = fields(3, cpus=pick("0.5", 0.25, "1"), memory=pick("1g", "50m"), pids=pick(5, "6"))
REQUEST = fields(
    4,
    capabilities=many(pick("gpu", "tpu")),
    count=pick(1, "all", "2"),
    driver=pick("d"),
    device_ids=many(pick("0", "1")),
    options=pairs(pick("x")),
)
UPDATE = fields(
    5,
    parallelism=INT,
    delay=DURATION,
    failure_action=pick("pause"),
    monitor=DURATION,
    max_failure_ratio=NUMBER,
    order=pick("start-first"),
)
DEPLOY = pick(
    None,
    fields(
        4,
        mode=pick("global", "replicated"),
        replicas=INT,
        labels=pairs(SCALAR),
        update_config=UPDATE,
        rollback_config=UPDATE,
        resources=fields(2, limits=RESOURCE, reservations=RESOURCE),
        endpoint_mode=pick("vip"),
        restart_policy=fields(4, condition=pick("any"), delay=DURATION, max_attempts=INT, window=DURATION),
        placement=fields(2, constraints=many(pick("a==b")), max_replicas_per_node=INT),
    ),
)
BUILD = pick(
    ".",
    "./d",
    "https://x/y.git",
    fields(
        5,
        context=pick(".", "./c", "../u", "https://h/p"),
        dockerfile=pick("D"),
        args=pairs(SCALAR),
        target=pick("t"),
        labels=pairs(SCALAR),
        tags=many(pick("t", "u")),
        cache_from=many(pick("a", "b")),
        no_cache=BOOL,
        shm_size=SIZE,
        network=pick("host"),
        pull=BOOL,
        secrets=many(FILE_MOUNT, 2),
        platforms=many(pick("linux/amd64")),
        additional_contexts=pick(["a=./x"], {"b": "../y"}, {"c": "service:db"}),
        extra_hosts=pick(["a=1.1.1.1"], {"b": "2.2.2.2"}),
        ulimits=ULIMITS,
        ssh=pick(["default"]),
    ),
)
SERVICE: dict[str, Make] = {
    "image": NAME,
    "build": BUILD,
    "command": COMMAND,
    "entrypoint": COMMAND,
    "environment": pairs(SCALAR),
    "labels": pairs(SCALAR),
    "annotations": pairs(SCALAR),
    "sysctls": pairs(SCALAR),
    "ports": many(PORT),
    "expose": many(pick(80, "81", "90-92")),
    "volumes": many(MOUNT),
    "networks": ATTACH,
    "depends_on": DEPENDS,
    "links": many(pick("db", "app:alias", "web"), 2),
    "volumes_from": many(pick("db:ro", "container:c"), 2),
    "network_mode": pick("host", "none", "service:db", "container:x"),
    "secrets": many(FILE_MOUNT, 2),
    "configs": many(FILE_MOUNT, 2),
    "healthcheck": HEALTH,
    "deploy": DEPLOY,
    "ulimits": ULIMITS,
    "logging": fields(2, driver=pick("json-file", "syslog"), options=pick({"a": "1", "b": 2}, {"c": None})),
    "env_file": pick("a.env", ["a.env", "b.env"], [{"path": "no.env", "required": False}], [{"path": "b.env"}]),
    "label_file": pick("a.env", ["b.env"]),
    "profiles": many(pick("p", "q"), 2),
    "mem_limit": SIZE,
    "mem_reservation": SIZE,
    "memswap_limit": pick(-1, "1g"),
    "shm_size": SIZE,
    "cpus": NUMBER,
    "cpu_shares": INT,
    "cpu_percent": pick(50, "60"),
    "pids_limit": INT,
    "scale": INT,
    "stop_grace_period": DURATION,
    "restart": pick("always", "no", "on-failure:3"),
    "privileged": BOOL,
    "init": BOOL,
    "tty": BOOL,
    "user": pick("1000", "a:b", "${V}"),
    "dns": pick("1.1.1.1", ["1.1.1.1", "8.8.8.8"], [], [""]),
    "dns_search": pick("a", ["b", "c"]),
    "tmpfs": pick("/t", ["/t", "/u:size=1"]),
    "cap_add": many(pick("A", "B"), 2),
    "security_opt": many(pick("s", "t"), 2),
    "group_add": many(pick("g", 5), 2),
    "extra_hosts": pick(["a=1.1.1.1", "b:2.2.2.2"], {"c": "::1", "d": ["1.1.1.1", "[::2]"]}, ["e:1.1.1.1,2.2.2.2"]),
    "devices": many(pick("/dev/a", "/dev/b:/dev/c", "/dev/d:/dev/c:r", {"source": "/dev/e", "target": "/dev/f"}), 2),
    "gpus": pick("all", many(REQUEST, 2)),
    "storage_opt": pick({"size": "1g"}, {}),
    "pull_policy": pick("always", "if_not_present"),
    "platform": pick("linux/amd64"),
    "working_dir": WORD,
    "hostname": WORD,
    "x-own": SCALAR,
    "extends": pick(
        "db", {"service": "app"}, {"file": "ext.yaml", "service": "base"}, {"file": "sub/ext.yaml", "service": "base"}
    ),
    "post_start": many(fields(3, command=COMMAND, user=pick("u"), environment=pairs(SCALAR)), 1),
    "develop": fields(
        1,
        watch=many(
            lambda chance: {
                "path": "./p",
                "action": chance.choice(("sync", "rebuild")),
                **fields(2, target=pick("/t"), ignore=many(pick("i")))(chance),
            },
            2,
        ),
    ),
    "ipc": pick("host", "service:db"),
    "blkio_config": fields(
        2,
        weight=pick(5),
        weight_device=many(pick({"path": "/d", "weight": 3}), 2),
        device_read_bps=many(pick({"path": "/d", "rate": "1m"}), 2),
    ),
}
NETWORK = pick(
    None,
    {},
    fields(
        4,
        driver=pick("bridge", "overlay"),
        name=pick("nn", "${V}"),
        external=BOOL,
        internal=BOOL,
        attachable=BOOL,
        enable_ipv6=BOOL,
        labels=pairs(SCALAR),
        driver_opts=pairs_of_numbers,
        ipam=fields(
            2,
            driver=pick("default"),
            config=many(
                fields(
                    3,
                    subnet=pick("10.0.0.0/24", "10.1.0.0/24"),
                    gateway=pick("10.0.0.1"),
                    aux_addresses=pick({"h": "10.0.0.2"}),
                ),
                2,
            ),
        ),
    ),
)
VOLUME = pick(
    None,
    {},
    {"external": True},
    {"external": {"name": "old"}},
    fields(
        3,
        driver=pick("local", "nfs"),
        name=pick("vn"),
        external=pick(False),
        labels=pairs(SCALAR),
        driver_opts=pick({"o": "bind", "device": "./x", "type": "none"}, {"n": 5}),
    ),
)
SECRET = pick(
    {"file": "./s"},
    {"file": "~/s"},
    {"environment": "V"},
    {"environment": "NOPE"},
    {"external": True},
    {"external": True, "name": "sn"},
    {"file": "/s", "labels": ["a=b"]},
)
CONFIG = pick(
    {"file": "./c"}, {"content": "c ${V}"}, {"environment": "V"}, {"external": True}, {"content": "x", "x-c": 1}
)
