"""An image present on any host is present on the cluster: with no registry, and only what is lacking is sent."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_lab
import local_registry
from cluster_lab import Lab

pytestmark = pytest.mark.engines

LOW_BYTES, HIGH_BYTES = 3_000_000, 400_000
COPIED = re.compile(r'event="image copied" image=(\S+) source=(\S+) target=(\S+) bytes=(\d+) layers_left_out=(\d+)')


class Cli:
    """The docker CLI on the cluster, as its owner."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self._base = ["docker", "-H", f"unix://{lab.ground.root / 'server' / 'docker.sock'}"]

    def run(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        variables = {**os.environ, "DOCKER_CONFIG": str(self.folder), "DOCKER_BUILDKIT": "0"}
        return subprocess.run(
            [*self._base, *arguments], input=stdin, capture_output=True, env=variables, timeout=90, check=False
        )

    def done(self, *arguments: str, stdin: bytes | None = None) -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.returncode == 0, (arguments, result.stdout, result.stderr)
        return result.stdout.decode()

    def built(self, name: str, dockerfile: str, **files: bytes) -> str:
        """-> its id."""
        for file, content in {**files, "Dockerfile": dockerfile.encode()}.items():
            (self.folder / file).write_bytes(content)
        return self.done("build", "-q", "-t", name, str(self.folder)).strip()

    def names(self) -> list[str]:
        return sorted(self.done("images", "--format", "{{.Repository}}:{{.Tag}}").split())

    def lists(self, host: str) -> list[str]:
        return sorted(self.lab.docker(host, "images", "--format", "{{.Repository}}:{{.Tag}}").split())


@pytest.fixture
def cli(lab: Lab, tmp_path: Path) -> Iterator[Cli]:
    this = Cli(lab, tmp_path)
    before = set(this.names())
    yield this
    made = [name for name in this.names() if name not in before]
    if made:
        this.run("rmi", "-f", *made)


def copies(lab: Lab, name: str) -> list[tuple[str, int, int]]:
    """Target, bytes, layers left out; as the server says of copies of the image."""
    text = "".join(path.read_text() for path in (lab.ground.root / "machine" / "log").iterdir())
    found = [match for match in COPIED.findall(text) if match[0].removesuffix(":latest") == name]
    return sorted((target, int(size), int(left_out)) for _, _, target, size, left_out in found)


def test_an_image_on_one_host_runs_on_all_and_only_lacking_layers_are_sent(cli: Cli, tmp_path: Path) -> None:
    lab = cli.lab
    low, high = os.urandom(LOW_BYTES), os.urandom(HIGH_BYTES)
    home, *_ = lab.hosts
    folder = tmp_path / "context"
    folder.mkdir()
    for name, content, base in (("low", low, "busybox"), ("high", high, "spread/low")):
        (folder / name).write_bytes(content)
        (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY {name} /{name}\n")
        built = subprocess.run(
            ["docker", "-H", f"unix://{lab.ground.socket(home)}", "build", "-q", "-t", f"spread/{name}", str(folder)],
            env={**os.environ, "DOCKER_BUILDKIT": "0"}, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert built.returncode == 0, built.stderr
    for image, size, left_out in (("spread/low", LOW_BYTES, 1), ("spread/high", HIGH_BYTES, 2)):
        text = f"services:\n  app:{cluster_lab.SLEEP.replace('busybox:latest', image)}    deploy: {{replicas: 6}}\n"
        with cluster_lab.stack(lab, f"spread-{image[7:]}", tmp_path, text) as stack:
            stack.runs()
            assert {view.host for view in stack.running()} == set(lab.hosts)
        sent = copies(lab, image)
        assert [target for target, *_ in sent] == sorted(host for host in lab.hosts if host != home), "once to each"
        for _, sent_bytes, layers in sent:
            assert layers == left_out
            assert size < sent_bytes < size + 100_000
    ids = {lab.docker(host, "image", "inspect", "spread/high", "-f", "{{.Id}}") for host in lab.hosts}
    assert len(ids) == 1


def test_images_mean_the_cluster(cli: Cli) -> None:
    lab = cli.lab
    base = cli.done("image", "inspect", "busybox", "-f", "{{.Id}}").strip()
    made = cli.built("mean/app:1", "FROM busybox\nCOPY a /a\nLABEL test=mean\nCMD cat /a\n", a=b"one\n")
    for number in range(4):
        assert cli.done("run", "--rm", "--name", f"mean-{number}", "mean/app:1") == "one\n"
    assert cli.done("images", "-q", "--no-trunc", "--filter", "label=test=mean").split() == [made]
    assert cli.names().count("mean/app:1") == 1
    assert made.encode() in cli.run("history", "-q", "--no-trunc", "mean/app:1").stdout
    cli.done("tag", "mean/app:1", "reg.example:5000/deep/er/app:2")
    assert cli.done("image", "inspect", "reg.example:5000/deep/er/app:2", "-f", "{{.Id}}").strip() == made
    assert cli.done("image", "inspect", made[7:19], "-f", "{{.Id}}").strip() == made
    saved = cli.run("save", "mean/app:1", "busybox").stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert sorted(entry["RepoTags"][0] for entry in json.load(manifest)) == ["busybox:latest", "mean/app:1"]
    cli.done("rmi", "reg.example:5000/deep/er/app:2", "mean/app:1")
    assert all("mean/app:1" not in cli.lists(host) for host in lab.hosts)
    missing = cli.run("image", "inspect", "mean/app:1")
    assert (missing.returncode, b"No such image: mean/app:1" in missing.stderr) == (1, True)
    assert b"mean/app:1" in cli.run("load", stdin=saved).stdout
    assert cli.done("run", "--rm", "mean/app:1") == "one\n"
    assert cli.done("image", "inspect", "busybox", "-f", "{{.Id}}").strip() == base


def test_a_name_given_anew_means_the_new_image_everywhere(cli: Cli) -> None:
    for words in ("first\n", "second\n"):
        cli.built("anew:1", "FROM busybox\nCOPY a /a\nCMD cat /a\n", a=words.encode())
        assert {cli.done("run", "--rm", "anew:1") for _ in range(4)} == {words}
    assert cli.names().count("anew:1") == 1


def test_a_build_begins_from_images_of_other_hosts(cli: Cli) -> None:
    """Each host has one of them under a name of its own: wherever the builder is, it is brought what it lacks."""
    for number, host in enumerate(cli.lab.hosts):
        cli.lab.docker(host, "tag", "busybox", f"elsewhere/base{number}:1")
    dockerfile = "".join(f"ARG N{number}={number}\n" for number in range(3))
    dockerfile += "".join(f"FROM elsewhere/base$N{number}:1 AS s{number}\n" for number in range(3))
    cli.built("here/built:1", dockerfile + "COPY a /a\nCMD cat /a\n", a=b"built\n")
    assert cli.done("run", "--rm", "here/built:1") == "built\n"


def test_commit_and_import_come_to_the_cluster(cli: Cli) -> None:
    cli.done("run", "-d", "--name", "comm", "busybox", "sleep", "1000")
    cli.done("exec", "comm", "sh", "-c", "echo kept > /kept")
    cli.done("commit", "-m", "kept", "--change", "CMD cat /kept", "comm", "comm/itted:1")
    cli.done("rm", "-f", "comm")
    assert [cli.done("run", "--rm", "comm/itted:1") for _ in range(3)] == ["kept\n"] * 3
    exported = cli.run("export", cli.done("create", "--name", "expo", "busybox").strip()).stdout
    cli.done("rm", "expo")
    cli.done("import", "--change", "CMD echo imported", "-", "imp:1", stdin=exported)
    assert cli.done("run", "--rm", "imp:1") == "imported\n"


def test_what_a_container_uses_anywhere_is_removed_nowhere(cli: Cli) -> None:
    cli.built("shared:1", "FROM busybox\nRUN echo shared > /x\n")
    for host in cli.lab.hosts:
        cli.done("run", "--rm", "-e", f"constraint:node=={host}", "shared:1", "true")
    cli.done("create", "--name", "holds", "-e", "constraint:node==h2", "shared:1")
    assert cli.run("rmi", "shared:1").returncode == 1
    assert all("shared:1" in cli.lists(host) for host in cli.lab.hosts)
    cli.done("rm", "holds")
    cli.done("rmi", "shared:1")
    assert not any("shared:1" in cli.lists(host) for host in cli.lab.hosts)


def test_what_a_container_uses_is_not_removed_and_prune_is_for_all_hosts(cli: Cli) -> None:
    cli.built("used:1", "FROM busybox\nLABEL test=prune\nRUN echo used > /x\n")
    cli.built("spare:1", "FROM busybox\nLABEL test=prune\nRUN echo spare > /x\n")
    cli.done("run", "-d", "--name", "user", "used:1", "sleep", "1000")
    refused = cli.run("rmi", "used:1")
    assert refused.returncode == 1
    assert b"must force" in refused.stderr
    cli.done("image", "prune", "-af", "--filter", "label=test=prune")
    assert "spare:1" not in cli.names()
    assert "used:1" in cli.names()
    cli.done("rm", "-f", "user")


@pytest.fixture
def registry(lab: Lab, tmp_path: Path) -> Iterator[str]:
    with local_registry.registry(lab, tmp_path) as address:
        yield address


def test_push_and_pull_with_a_registry(cli: Cli, registry: str) -> None:
    name = f"{registry}/deep/app:1"
    cli.built(name, "FROM busybox\nCOPY a /a\nCMD cat /a\n", a=os.urandom(5000).hex().encode())
    wanted = cli.done("run", "--rm", name)
    pushed = re.search(r"digest: (sha256:[0-9a-f]{64})", cli.done("push", name))
    assert pushed is not None
    cli.done("rmi", "-f", name)
    assert name not in cli.names()
    assert "Pull complete" in cli.done("pull", name)
    assert [cli.done("run", "--rm", name) for _ in range(3)] == [wanted] * 3
    cli.done("rmi", "-f", name)
    assert cli.done("run", "--rm", name) == wanted, "a run pulls what is missing"
    exact = f"{registry}/deep/app@{pushed[1]}"
    cli.done("rmi", "-f", name)
    assert [cli.done("run", "--rm", exact) for _ in range(3)] == [wanted] * 3
    cli.done("rmi", "-f", exact)
    nowhere = cli.run("pull", f"{registry}/deep/nothing:1")
    assert nowhere.returncode == 1
    assert b"not found" in nowhere.stderr
