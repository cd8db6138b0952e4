"""`build:` of compose files on real hosts, and registries that want to know who asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_lab
import local_registry
from cluster_lab import Lab, Stack
from local_registry import PASSWORD, USER

pytestmark = pytest.mark.engines

DOCKERFILE = "FROM only-there:1\nARG WORD\nRUN echo $WORD > /word\nCOPY . /app\n"
BUILT = """
services:
  web:
    build: {context: app, args: {WORD: one}}
    command: ["sleep", "100000"]
    init: true
    stop_grace_period: 1s
    deploy: {replicas: 3, update_config: {parallelism: 0}}
  other:
    image: busybox:latest
    command: ["sleep", "100000"]
    init: true
    stop_grace_period: 1s
"""


@pytest.fixture
def app(lab: Lab, tmp_path: Path) -> Path:
    """A directory to build from. Its base image is on one host only, which is not the one that builds."""
    lab.docker("h3", "tag", "busybox:latest", "only-there:1")
    folder = tmp_path / "app"
    (folder / "deep").mkdir(parents=True)
    for name, content in {
        "Dockerfile": DOCKERFILE, "page": "first", "left.log": "", "deep/left": "", ".dockerignore": "*.log\ndeep\n",
    }.items():  # fmt: skip
        (folder / name).write_text(content)
    return folder


def ids(stack: Stack) -> dict[str, str]:
    return {view.name: view.id for view in stack.running()}


def test_a_stack_is_built_spread_and_rolled_only_when_it_changed(lab: Lab, tmp_path: Path, app: Path) -> None:
    with cluster_lab.stack(lab, "built", tmp_path, BUILT) as stack:
        said = stack.runs().stderr
        assert "web | Step 1/" in said
        assert {view.host for view in stack.running("web")} == set(lab.hosts), "the image is where it is needed"
        for view in stack.running("web"):
            assert lab.inside(view, "sh", "-c", "cat /word /app/page; ls /app") == "one\nfirstDockerfile\npage\n"
        before = ids(stack)
        images = {lab.inspect(view)["Image"] for view in stack.running("web")}
        assert len(images) == 1
        assert "Step" not in stack.runs().stderr, "what is there is not built again"
        stack.runs("--build")
        assert ids(stack) == before, "the same image is the same service"
        (app / "page").write_text("second")
        stack.runs()
        assert ids(stack) == before, "without --build nothing is built"
        assert "would be built" in stack.runs("--dry-run", "--build").stderr
        stack.runs("--build")
        after = ids(stack)
        assert {name for name in after if after[name] == before[name]} == {"built-other-1"}
        assert {lab.inside(view, "cat", "/app/page") for view in stack.running("web")} == {"second"}
        (app / "Dockerfile").write_text("FROM busybox\nRUN echo why it fails; exit 7\n")
        failed = stack.up("--build")
        assert failed.returncode == 1
        assert "web | why it fails" in failed.stderr
        assert "returned a non-zero code: 7" in failed.stderr
        assert ids(stack) == after, "a build that fails changes nothing"


def test_build_alone_with_another_builder_and_other_dockerfiles(lab: Lab, tmp_path: Path, app: Path) -> None:
    text = """
services:
  kit:
    image: kit/app:1
    build:
      context: app
      dockerfile_inline: |
        FROM only-there:1
        RUN --mount=type=cache,target=/cache echo cached > /cache/it && cp /cache/it /it
        COPY page /page
    command: ["sh", "-c", "cat /it /page; sleep 100000"]
    init: true
    stop_grace_period: 1s
  never:
    image: kit/app:1
    pull_policy: never
    command: ["sleep", "100000"]
    init: true
    stop_grace_period: 1s
    deploy: {replicas: 3}
  plain:
    build: {context: app/deep, dockerfile: ../../Outside, tags: ["plain:extra"], labels: {made: here}}
"""
    (tmp_path / "Outside").write_text("FROM busybox\nARG W=unset\nRUN echo $W > /w\nCOPY . /all\n")
    with cluster_lab.stack(lab, "alone", tmp_path, text) as stack:
        assert stack.up("--no-build", "plain").returncode == 2
        built = lab.paddock("build", "-f", str(stack.file), "--json", "--build-arg", "W=given")
        assert built.returncode == 0, built.stderr
        told = {one["service"]: one for one in json.loads(built.stdout)}
        assert (told["kit"]["image"], told["plain"]["image"]) == ("kit/app:1", "alone-plain")
        assert "kit | #" in built.stderr
        stack.runs("--no-build", "kit")
        view = stack.one("kit")
        assert lab.inspect(view)["Image"] == told["kit"]["id"]
        assert lab.inside(view, "cat", "/it", "/page") == "cached\nfirst"
        stack.runs("--no-build", "never")
        assert {view.host for view in stack.running("never")} == set(lab.hosts)
        holder = next(host for host in lab.hosts if "plain:extra" in lab.docker(host, "images", "--format", NAMES))
        assert lab.docker(holder, "run", "--rm", "plain:extra", "sh", "-c", "cat /w; ls -A /all") == "given\nleft\n"
        (tmp_path / "Outside").write_text("FROM busybox\nRUN --mount=type=secret,id=k cat /k\n")
        refused = lab.paddock("build", "-f", str(stack.file), "plain")
        assert refused.returncode == 2
        assert "paddock docker buildx" in refused.stderr


NAMES = "{{.Repository}}:{{.Tag}}"


@pytest.fixture
def private(lab: Lab, tmp_path: Path) -> Iterator[str]:
    with local_registry.registry(lab, tmp_path, login=True) as address:
        yield address
        lab.paddock("registry", "logout", address)


def test_what_needs_a_login_is_pulled_with_the_one_that_is_kept(lab: Lab, private: str, tmp_path: Path) -> None:
    image = f"{private}/team/app:1"
    text = f"""
services:
  app:
    image: {image}
    command: ["sleep", "100000"]
    init: true
    stop_grace_period: 1s
    pull_policy: always
    deploy: {{replicas: 2}}
  pushed:
    image: {image}
    profiles: [push]
    build: {{dockerfile_inline: "FROM busybox\\nRUN echo private > /it\\n"}}
"""
    with cluster_lab.stack(lab, "private", tmp_path, text) as stack:
        wrong = lab.paddock("registry", "login", private, "-u", USER, "--password-stdin", stdin="wrong")
        assert wrong.returncode == 1
        assert "401" in wrong.stderr
        refused = stack.up("app")
        assert refused.returncode == 1
        assert f"paddock registry login {private}" in refused.stderr
        assert f"paddock registry login {private}" in lab.done("explain", "private/app")
        lab.done("registry", "login", f"http://{private}/v2/", "-u", USER, "--password-stdin", stdin=PASSWORD + "\n")
        assert [view["address"] for view in lab.json("registry")] == [private]
        lab.done("build", "-q", "--push", "-f", str(stack.file), "--profile", "push", "pushed")
        lab.done("docker", "rmi", "-f", image)
        stack.runs("app")
        assert {lab.inside(view, "cat", "/it") for view in stack.running("app")} == {"private\n"}
        lab.done("docker", "pull", image)
        kept = [file for host in (None, *lab.hosts) for file in logs(lab, host) if PASSWORD in file.read_text()]
        assert not kept


def logs(lab: Lab, host: str | None) -> list[Path]:
    folder = lab.ground.root / "hosts" / host / "log" if host else lab.ground.root / "machine" / "log"
    return [file for file in folder.rglob("*.log") if file.is_file()]
