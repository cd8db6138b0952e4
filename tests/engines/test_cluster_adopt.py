"""A compose project that ran on one host before the cluster knew of it becomes a stack, and nothing of it stops."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster_lab import Lab
from paddock.wire.api import ContainerView
from waiting import until

pytestmark = pytest.mark.engines
NAME = "old"
COMPOSE = """
name: old
services:
  web:
    image: busybox
    command: ["sh", "-c", "mkdir -p /w; cp /data/page /w/page; httpd -f -p 80 -h /w"]
    volumes: [data:/data]
    networks:
      default: {aliases: [site]}
    deploy: {replicas: 2}
    stop_grace_period: 1s
  once:
    image: busybox
    command: ["true"]
  caller:
    image: busybox
    command: ["sleep", "1000"]
    depends_on: [web]
    stop_grace_period: 1s
    deploy: {update_config: {parallelism: 0}}
volumes:
  data:
"""


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    yield tmp_path
    lab.paddock("down", "-p", NAME, "--volumes", folder=tmp_path)
    until(lambda: NAME not in lab.done("stacks", "-q").split(), "the stack is gone", 60)
    label = f"label=com.docker.compose.project={NAME}"
    for host in lab.hosts:
        for id in lab.docker(host, "ps", "-aq", "--filter", label).split():
            lab.docker(host, "rm", "-f", id)
        for kind in ("network", "volume"):
            for id in lab.docker(host, kind, "ls", "-q", "--filter", label).split():
                lab.docker(host, kind, "rm", id)


def start(lab: Lab, host: str, folder: Path) -> None:
    """As `docker compose up` would: by itself where it is installed, else by what it sends."""
    lab.docker(host, "volume", "create", *label("volume", "data"), f"{NAME}_data")
    lab.docker(host, "run", "--rm", "-v", f"{NAME}_data:/d", "busybox", "sh", "-c", "echo kept > /d/page")
    environment = {**os.environ, "DOCKER_HOST": f"unix://{lab.ground.socket(host)}"}
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        subprocess.run(["docker", "compose", "up", "-d"], check=True, cwd=folder, env=environment, capture_output=True)
        return
    lab.docker(host, "network", "create", *label("network", "default"), f"{NAME}_default")
    web = ["sh", "-c", "mkdir -p /w; cp /data/page /w/page; httpd -f -p 80 -h /w"]
    data = ["-v", f"{NAME}_data:/data", "--network-alias", "site"]
    for service, number, options, command in (
        ("web", 1, data, web), ("web", 2, data, web), ("once", 1, [], ["true"]), ("caller", 1, [], ["sleep", "1000"]),
    ):  # fmt: skip
        labels = {
            "project": NAME, "service": service, "container-number": str(number), "oneoff": "False",
            "config-hash": "0" * 64, "project.config_files": str(folder / "compose.yaml"),
            "project.working_dir": str(folder),
        }  # fmt: skip
        words = [word for key, value in labels.items() for word in ("-l", f"com.docker.compose.{key}={value}")]
        name = ["--name", f"{NAME}-{service}-{number}", "--network", f"{NAME}_default", "--network-alias", service]
        lab.docker(host, "run", "-d", *words, *name, *options, "busybox", *command)


def label(kind: str, name: str) -> list[str]:
    labels = (f"com.docker.compose.project={NAME}", f"com.docker.compose.{kind}={name}")
    return [word for text in labels for word in ("--label", text)]


def running(lab: Lab, host: str) -> dict[str, tuple[str, str, int]]:
    """Name -> id, start and process: what must not change."""
    ids = lab.docker(host, "ps", "-aq", "--filter", f"label=com.docker.compose.project={NAME}").split()
    found: list[dict[str, Any]] = json.loads(lab.docker(host, "inspect", *ids))
    return {one["Name"]: (one["Id"], one["State"]["StartedAt"], one["State"]["Pid"]) for one in found}


def test_a_project_is_adopted_as_it_runs(lab: Lab, folder: Path) -> None:
    start(lab, "h2", folder)
    before = running(lab, "h2")
    listed = [one for one in lab.json("adopt") if one["project"] == NAME]
    assert [(one["host"], one["containers"]) for one in listed] == [("h2", 4)]
    would = lab.done("adopt", NAME, "--dry-run")
    assert "would be slot 2 of web, as it runs" in would
    assert "join the cluster's network" in would
    assert NAME not in lab.done("stacks", "-q").split()
    lab.done("adopt", NAME)
    assert running(lab, "h2") == before
    views = {view.name: view for view in lab.containers(NAME, every=True)}
    assert {f"/{name}": view.id for name, view in views.items()} == {name: one[0] for name, one in before.items()}
    assert {view.host for view in views.values()} == {"h2"}
    assert views[f"{NAME}-once-1"].state == "complete"
    assert "nothing would change" in lab.done("up", "--dry-run", folder=folder)
    assert "there is a stack" in lab.paddock("adopt", NAME, "-f", str(folder / "compose.yaml")).stderr

    lab.done("scale", "caller=3")
    until(lambda: len(lab.running(NAME, "caller")) == 3, "more of them run", 30)
    away = next(view for view in lab.running(NAME, "caller") if view.host != "h2")
    here = next(view for view in lab.running(NAME, "caller") if view.name == f"{NAME}-caller-1")
    until(lambda: asked(lab, away, "http://site/page") == "kept\n", "the new one reaches adopted ones", 30)
    until(lambda: asked(lab, here, "http://site/page") == "kept\n", "and so does an adopted one", 30)
    until(lambda: reached(lab, here, away), "the new one is reached from an adopted one by name", 20)
    assert running(lab, "h2") | before == running(lab, "h2")
    lab.end("h2", "agent")
    lab.revive("h2")
    lab.all_active()
    assert running(lab, "h2") | before == running(lab, "h2")

    lab.done("restart", f"{NAME}/caller")
    again = running(lab, "h2")[f"/{NAME}-caller-1"]
    assert (again[0], again[1] == before[f"/{NAME}-caller-1"][1]) == (here.id, False)
    until(lambda: reached(lab, here, away), "as it was before its restart", 20)

    (folder / "compose.yaml").write_text(COMPOSE.replace('"1000"', '"2000"'))
    lab.done("up", "-d", folder=folder)
    assert not lab.docker("h2", "ps", "-aq", "--filter", f"id={here.id}")
    made = lab.inspect(next(view for view in lab.running(NAME, "caller") if view.slot == 1))
    assert list(made["NetworkSettings"]["Networks"]) == [f"{NAME}_default-cluster"]
    web = {name: one for name, one in before.items() if "web" in name}
    assert running(lab, "h2") | web == running(lab, "h2")


def reached(lab: Lab, view: ContainerView, other: ContainerView) -> bool:
    return "1 packets received" in lab.inside(view, "ping", "-c", "1", "-W", "1", other.name, check=False)


def asked(lab: Lab, view: ContainerView, url: str) -> str:
    return lab.inside(view, "wget", "-qO-", url, check=False)
