"""A registry that is a container of the cluster: `localhost:PORT` is the host that publishes it, for push and pull."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

import local_registry
from cluster_lab import Lab
from docker_client import Docker, missing
from waiting import until

pytestmark = [pytest.mark.engines, pytest.mark.skipif(bool(missing()), reason=missing())]
SERVES = """
printf 'version: 0.1\\nstorage: {filesystem: {rootdirectory: /registry}}\\nhttp: {addr: ":5000"}\\n' > /registry.yml
exec %s serve /registry.yml
"""
OF_THE_MACHINE = [word for folder in ("/usr", "/lib", "/lib64") for word in ("-v", f"{folder}:{folder}:ro")]


@pytest.fixture
def docker(docker: Docker) -> Iterator[Docker]:
    yield docker
    docker("rmi", "-f", "localhost:5077/app:1")


@pytest.mark.parametrize("published", ["5077:5000", "127.0.0.1:5077:5000"])
def test_push_and_pull_where_it_is(lab: Lab, docker: Docker, published: str) -> None:
    program = shutil.which(local_registry.PROGRAM)
    assert program is not None
    where = ["-p", published, "-e", "constraint:node==h2"]
    docker.done("run", "-d", "--name", "store", *where, *OF_THE_MACHINE, "busybox", "sh", "-c", SERVES % program)
    until(lambda: "listening on" in docker("logs", "store").stderr, "the registry listens")
    docker.done("tag", "busybox", "localhost:5077/app:1")
    assert "digest: sha256:" in docker.done("push", "localhost:5077/app:1")
    docker.done("rmi", "localhost:5077/app:1")
    docker.done("pull", "localhost:5077/app:1")
    assert docker.done("run", "--rm", "-e", "constraint:node==h3", "localhost:5077/app:1", "echo", "there") == "there"
