"""What compose files say, on real hosts: order, files, volumes, places, updates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import SLEEP, Lab, nothing_double, settled
from waiting import until

pytestmark = pytest.mark.engines


def test_order_of_starts_and_of_ends(lab: Lab, tmp_path: Path) -> None:
    text = f"""
services:
  setup:
    image: busybox:latest
    command: ["sh", "-c", "sleep 1; echo made > /made/it"]
    volumes: ["made:/made"]
  store:{SLEEP}
    healthcheck: {{test: ["CMD-SHELL", "sleep 0.3; touch /well"], interval: 500ms, timeout: 5s}}
  api:{SLEEP}
    volumes: ["made:/made"]
    depends_on:
      setup: {{condition: service_completed_successfully}}
      store: {{condition: service_healthy}}
  web:{SLEEP}
    depends_on: [api]
volumes:
  made:
"""
    with cluster_lab.stack(lab, "order", tmp_path, text) as stack:
        stack.runs()
        (setup,) = stack.views("setup", every=True)
        assert (setup.state, setup.status.exit_code) == ("complete", 0)
        started = {name: stack.one(name).status.started_at_s for name in ("store", "api", "web")}
        assert setup.status.finished_at_s <= started["api"]
        assert started["store"] < started["api"] <= started["web"]
        api = stack.one("api")
        assert lab.inside(api, "cat", "/made/it") == "made\n"
        assert api.host == setup.host, "a local volume holds both on its host"
        assert stack.up("--json").stdout.count('"action"') == 0, "up again changes nothing"
        assert (setup.id, api.id) == (stack.views("setup", every=True)[0].id, stack.one("api").id)


def test_what_is_depended_on_fails(lab: Lab, tmp_path: Path) -> None:
    text = f"""
services:
  setup:
    image: busybox:latest
    command: ["false"]
    restart: "no"
  api:{SLEEP}
    depends_on: {{setup: {{condition: service_completed_successfully}}}}
"""
    with cluster_lab.stack(lab, "fails", tmp_path, text) as stack:
        done = stack.up()
        assert done.returncode == 1, done.stderr
        assert "setup" in done.stderr
        assert not stack.running("api")
        assert "setup" in lab.done("explain", "fails-api-1")


def test_files_volumes_and_tmpfs(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("from a file\n")
    text = f"""
services:
  a:{SLEEP}
    secrets:
      - {{source: token, target: token, uid: "1000", gid: "1001", mode: 0400}}
      - plain
    configs: [{{source: conf, target: /etc/app/conf.ini, mode: 0640}}]
    volumes: ["kept:/kept", /nameless]
    tmpfs: ["/scratch:size=1m,mode=1770"]
secrets:
  token: {{file: ./secret.txt}}
  plain: {{environment: PLAIN_SECRET}}
configs:
  conf: {{content: "x=1"}}
volumes:
  kept:
"""
    (tmp_path / ".env").write_text("PLAIN_SECRET=hush\n")
    with cluster_lab.stack(lab, "files", tmp_path, text) as stack:
        stack.runs()
        view = stack.one("a")
        paths = ("/run/secrets/token", "/run/secrets/plain", "/etc/app/conf.ini")
        listed = lab.inside(view, "stat", "-L", "-c", "%u:%g %a", *paths).splitlines()
        assert listed == ["1000:1001 400", "0:0 444", "0:0 640"]
        assert lab.inside(view, "cat", *paths) == "from a file\nhushx=1"
        mounts = lab.inside(view, "cat", "/proc/mounts")
        assert all(f" {path} tmpfs " in mounts for path in (paths[0], paths[1], "/scratch"))
        for path in ("/kept", "/nameless"):
            lab.inside(view, "touch", f"{path}/x")
        folder = lab.ground.root / "hosts" / view.host
        assert lab.ground.exec(view.host, ["grep", "-rl", "hush", "/var/lib/docker/containers"]).stdout == ""
        assert folder.is_dir()
        names = [mount["Name"] for mount in lab.inspect(view)["Mounts"] if mount["Type"] == "volume"]
        assert "files_kept" in names
        assert len(names) == 2
        stack.write(text.replace("x=1", "x=2"))
        stack.runs()
        after = stack.one("a")
        assert after.host == view.host
        assert lab.inside(after, "cat", "/etc/app/conf.ini") == "x=2"
        assert lab.inside(after, "ls", "/kept") == "x\n"
        assert stack.down().returncode == 0
        assert "files_kept" in lab.docker(view.host, "volume", "ls", "-q")
        stack.runs()
        again = stack.one("a")
        assert again.host == view.host, "its data pins it"
        assert lab.inside(again, "ls", "/kept") == "x\n"
        assert stack.down("-v").returncode == 0
        assert lab.docker(view.host, "volume", "ls", "-q", "--filter", "name=files").split() == []
        stack.runs()


def test_shared_network_is_on_one_host(lab: Lab, tmp_path: Path) -> None:
    text = f"""
services:
  owner:{SLEEP}
    hostname: shared
    deploy: {{replicas: 2}}
  beside:{SLEEP}
    network_mode: service:owner
    pid: service:owner
    deploy: {{replicas: 2}}
"""
    with cluster_lab.stack(lab, "beside", tmp_path, text) as stack:
        stack.runs()
        pairs = list(zip(stack.running("owner"), stack.running("beside"), strict=True))
        assert len(pairs) == 2
        for owner, beside in pairs:
            assert owner.host == beside.host
            assert lab.inspect(beside)["HostConfig"]["NetworkMode"] == f"container:{owner.id}"
            assert lab.inside(beside, "hostname") == "shared\n"
        owner, beside = pairs[0]
        lab.docker(owner.host, "rm", "-f", owner.id)

        def together() -> bool:
            both = [view for name in ("owner", "beside") for view in stack.running(name) if view.slot == owner.slot]
            if len(both) != 2 or both[0].id == owner.id:
                return False
            mode = lab.docker(both[1].host, "inspect", "-f", "{{.HostConfig.NetworkMode}}", both[1].id, check=False)
            return mode.strip() == f"container:{both[0].id}"

        until(together, "a new owner has its partner again", 30)


def test_global_follows_hosts(lab: Lab, tmp_path: Path) -> None:
    text = f"services:\n  every:{SLEEP}    deploy: {{mode: global}}\n"
    with cluster_lab.stack(lab, "global", tmp_path, text) as stack:
        stack.runs()
        assert sorted(view.host for view in stack.running()) == list(lab.hosts)
        try:
            lab.done("hosts", "drain", "h3")
            until(
                lambda: sorted(view.host for view in stack.running()) == ["h1", "h2"], "none is on a drained host", 20
            )
            assert not lab.on_engines("global", ("h3",)) or until(
                lambda: not lab.on_engines("global", ("h3",)), "and none is left there", 20
            )
        finally:
            lab.done("hosts", "activate", "h3")
        until(lambda: sorted(view.host for view in stack.running()) == list(lab.hosts), "it is back", 20)


def test_places(lab: Lab, tmp_path: Path) -> None:
    text = f"""
services:
  only:{SLEEP}
    deploy: {{replicas: 2, placement: {{constraints: ["node.labels.disk == fast"]}}}}
  spread:{SLEEP}
    deploy: {{replicas: 4, placement: {{max_replicas_per_node: 1}}}}
  zones:{SLEEP}
    deploy: {{replicas: 4, placement: {{preferences: [{{spread: node.labels.zone}}]}}}}
"""
    labels = {"h1": "a", "h2": "a", "h3": "b"}
    for host, zone in labels.items():
        lab.done("hosts", "label", host, f"zone={zone}")
    lab.done("hosts", "label", "h2", "disk=fast")
    try:
        with cluster_lab.stack(lab, "places", tmp_path, text) as stack:
            done = stack.up("--wait-timeout", "15")
            assert done.returncode == 1
            assert {view.host for view in stack.running("only")} == {"h2"}
            assert sorted(view.host for view in stack.running("spread")) == list(lab.hosts)
            zones = [labels[view.host] for view in stack.running("zones")]
            assert sorted(zones) == ["a", "a", "b", "b"]
            explained = lab.done("explain", "places/spread")
            assert "3 hosts" in explained, explained
            assert "1 " in explained
            assert "disk" in lab.done("explain", "places-only-1") or "h2" in lab.done("explain", "places-only-1")
    finally:
        for host in labels:
            lab.done("hosts", "label", host, "zone-")
        lab.done("hosts", "label", "h2", "disk-")


def test_a_stack_larger_than_the_cluster_waits_and_says_why(lab: Lab, tmp_path: Path) -> None:
    memory = lab.host("h1").facts.memory_bytes
    text = f"""
services:
  big:{SLEEP}
    deploy:
      replicas: 4
      resources: {{reservations: {{memory: "{int(memory * 0.6)}"}}}}
"""
    with cluster_lab.stack(lab, "large", tmp_path, text) as stack:
        assert stack.up("--wait-timeout", "12").returncode == 1
        assert sorted(view.host for view in stack.running()) == list(lab.hosts)
        explained = lab.done("explain", "large/big")
        assert "memory" in explained, explained
        assert lab.host("h1").reserved.memory_bytes == int(memory * 0.6)
        assert "waiting" in lab.done("ps", "large")
        lab.done("scale", "large/big=3")
        until(lambda: settled(stack, "big", 3), "it is as wished", 10)


ROLLING = f"""
services:
  web:{SLEEP}
    environment: {{VERSION: "1"}}
    healthcheck: {{test: ["CMD-SHELL", "test $$VERSION != bad"], interval: 300ms, timeout: 5s, retries: 2}}
    deploy:
      replicas: 3
      update_config: {{order: ORDER, parallelism: 1, failure_action: rollback, monitor: 1s}}
      rollback_config: {{parallelism: 3, monitor: 1s}}
"""


@pytest.mark.parametrize(("order", "least", "most"), [("start-first", 3, 4), ("stop-first", 2, 3)])
def test_rolling_updates(lab: Lab, tmp_path: Path, order: str, least: int, most: int) -> None:
    text = ROLLING.replace("ORDER", order)
    with cluster_lab.stack(lab, "rolling", tmp_path, text) as stack:
        stack.runs("--wait")
        first = {view.id for view in stack.running()}
        stack.write(text.replace('"1"', '"2"'))
        stack.runs("-d")
        seen: set[int] = set()

        def over() -> bool:
            seen.add(len([view for view in stack.running() if view.ready]))
            return settled(stack, "web", 3)

        until(over, "the update is over", 60)
        assert min(seen) >= least, seen
        assert max(seen) <= most, seen
        assert not first & {view.id for view in stack.running()}
        good = {view.id for view in stack.running()}
        if order == "stop-first":
            return
        stack.write(text.replace('"1"', "bad"))
        done = stack.up()
        assert done.returncode == 1, done.stderr
        until(lambda: settled(stack, "web", 3), "it is rolled back", 60)

        def versions() -> list[str]:
            return [lab.inside(view, "sh", "-c", "echo $VERSION", check=False).strip() for view in stack.running()]

        until(lambda: versions() == ["2", "2", "2"], "all are of the revision before", 20)
        assert len(good & {view.id for view in stack.running()}) >= 2, "those that were not touched stay"
        assert "roll" in lab.done("explain", "rolling/web")


def test_commands_on_a_stack(lab: Lab, tmp_path: Path) -> None:
    text = f"services:\n  a:{SLEEP}  b:{SLEEP}  extra:{SLEEP}    profiles: [more]\n"
    with cluster_lab.stack(lab, "commands", tmp_path, text) as stack:
        plan = json.loads(stack.up("--dry-run", "--json").stdout)
        assert {change["name"] for change in plan["plan"] if change["kind"] == "service"} == {
            "commands/a", "commands/b",
        }  # fmt: skip
        assert lab.paddock("ps", "commands").returncode != 0, "a dry run leaves nothing"
        stack.runs()
        ids = {view.name: view.id for view in stack.running()}
        assert sorted(ids) == ["commands-a-1", "commands-b-1"]
        assert "nothing would change" in stack.up("--dry-run").stdout
        stack.runs("--profile", "more")
        assert settled(stack, "extra", 1)
        assert {view.name: view.id for view in stack.running() if view.service != "extra"} == ids
        lab.done("scale", "commands/a=3")
        assert settled(stack, "a", 3)
        assert {ids["commands-a-1"]} < {view.id for view in stack.running("a")}
        stack.runs("--scale", "a=2")
        assert settled(stack, "a", 2)
        lab.done("stop", "commands/b")
        assert not stack.running("b")
        assert lab.docker(lab.hosts[0], "ps") is not None
        lab.done("start", "commands/b")
        until(lambda: settled(stack, "b", 1), "b runs again", 20)
        assert stack.one("b").id == ids["commands-b-1"], "stop keeps its container"
        lab.done("restart", "commands/b")
        until(lambda: settled(stack, "b", 1), "b runs again", 20)
        before = stack.one("b")
        lab.done("rm", "--force", before.name)
        until(lambda: settled(stack, "b", 1) and stack.one("b").id != before.id, "the service makes a new one", 20)
        stack.write(f"services:\n  a:{SLEEP}")
        done = stack.up()
        assert done.returncode == 0
        assert "b stays" in done.stderr, "orphans are told"
        assert stack.running("b")
        stack.runs("--remove-orphans")
        until(lambda: {view.service for view in stack.running()} == {"a"}, "orphans are gone", 20)
        until(lambda: nothing_double(stack, 1), "on the hosts too", 20)


WIDE = {
    "image": "busybox:latest",
    "command": ["sleep", "100000"],
    "entrypoint": ["/bin/busybox"],
    "hostname": "wide",
    "domainname": "example.test",
    "user": "1000:1000",
    "working_dir": "/tmp",
    "environment": {"A": "1", "B": "two words"},
    "labels": {"com.example.a": "b"},
    "cap_add": ["NET_ADMIN"],
    "cap_drop": ["MKNOD"],
    "dns_search": ["example.test"],
    "dns_opt": ["ndots:2"],
    "extra_hosts": {"elsewhere": "192.0.2.9"},
    "group_add": ["1234"],
    "init": True,
    "ipc": "private",
    "mem_limit": "64m",
    "mem_swappiness": 10,
    "memswap_limit": "96m",
    "cpus": 0.5,
    "cpu_shares": 512,
    "cpuset": "0",
    "pids_limit": 77,
    "oom_score_adj": 300,
    "shm_size": "8m",
    "read_only": True,
    "tmpfs": ["/scratch"],
    "security_opt": ["no-new-privileges:true"],
    "stop_signal": "SIGINT",
    "stop_grace_period": "3s",
    "stdin_open": True,
    "tty": True,
    "sysctls": {"net.core.somaxconn": "512"},
    "ulimits": {"nofile": {"soft": 1000, "hard": 2000}, "nproc": 99},
    "restart": "unless-stopped",
    "logging": {"driver": "json-file", "options": {"max-size": "1m"}},
    "privileged": False,
    "userns_mode": "host",
    "expose": ["1234"],
    "devices": ["/dev/null:/dev/nothing:rw"],
    "healthcheck": {"test": ["CMD", "true"], "interval": "7s", "timeout": "3s", "retries": 4, "start_period": "1s"},
}


def test_every_key_reaches_the_engine(lab: Lab, tmp_path: Path) -> None:
    with cluster_lab.stack(lab, "wide", tmp_path, f"services:\n  w: {json.dumps(WIDE)}\n") as stack:
        stack.runs()
        found = lab.inspect(stack.one("w"))
        config, host = found["Config"], found["HostConfig"]
        labels = config.pop("Labels")
        assert labels["com.example.a"] == "b"
        assert labels["com.docker.compose.project"] == "wide"
        assert labels["com.docker.compose.service"] == "w"
        assert {"A=1", "B=two words"} <= set(config["Env"])
        expected_config = {
            "Cmd": ["sleep", "100000"], "Entrypoint": ["/bin/busybox"], "Hostname": "wide",
            "Domainname": "example.test", "User": "1000:1000", "WorkingDir": "/tmp", "StopSignal": "SIGINT",
            "StopTimeout": 3, "OpenStdin": True, "Tty": True, "ExposedPorts": {"1234": {}},
            "Healthcheck": {
                "Test": ["CMD", "true"], "Interval": 7 * 10**9, "Timeout": 3 * 10**9, "Retries": 4,
                "StartPeriod": 10**9,
            },
        }  # fmt: skip
        assert {key: config.get(key) for key in expected_config} == expected_config
        expected_host = {
            "CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD"], "DnsSearch": ["example.test"],
            "DnsOptions": ["ndots:2"], "GroupAdd": ["1234"], "Init": True, "IpcMode": "private",
            "Memory": 64 << 20, "MemorySwappiness": 10, "MemorySwap": 96 << 20, "NanoCpus": 500_000_000,
            "CpuShares": 512, "CpusetCpus": "0", "PidsLimit": 77, "OomScoreAdj": 300, "ShmSize": 8 << 20,
            "ReadonlyRootfs": True, "Tmpfs": {"/scratch": ""}, "SecurityOpt": ["no-new-privileges:true"],
            "Sysctls": {"net.core.somaxconn": "512"}, "Privileged": False, "UsernsMode": "host",
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
            "Devices": [
                {"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw"}
            ],
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        }  # fmt: skip
        assert {key: host.get(key) for key in expected_host} == expected_host
        ulimits = {one["Name"]: (one["Soft"], one["Hard"]) for one in host["Ulimits"]}
        assert ulimits == {"nofile": (1000, 2000), "nproc": (99, 99)}
        assert "elsewhere:192.0.2.9" in host["ExtraHosts"]
