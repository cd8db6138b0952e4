"""Who may be a host, who is refused, and what becomes of a host's containers when it is to be left alone."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import SLEEP, Lab, nothing_double, settled
from paddock.wire.join_token import JoinToken, decode_token, encode_token
from waiting import until

pytestmark = pytest.mark.engines

IDENTITY = "/var/lib/paddock/agent"


def joins(lab: Lab, host: str, token: str, data: str, name: str) -> subprocess.CompletedProcess[str]:
    own = [f"{key}={value}" for key, value in lab.environment.items() if key in ("PYTHONPATH", "PATH")]
    argv = ["env", *own, *lab.argv("agent", "join", "-", "--name", name, "--data", data)]
    return lab.ground.exec(host, argv, stdin=token)


@pytest.fixture
def elsewhere(lab: Lab) -> Iterator[str]:
    """A folder on h1 for another agent's identity."""
    yield "/run/another-agent"
    lab.ground.exec("h1", ["rm", "-rf", "/run/another-agent"])


def test_tokens(lab: Lab, elsewhere: str) -> None:
    token = lab.ask(lambda client: client.create_join_token()).token
    assert joins(lab, "h1", token, elsewhere, "guest").returncode == 0
    try:
        again = joins(lab, "h2", token, "/run/refused", "guest2")
        assert again.returncode == 1
        assert "already used, by host guest" in again.stderr
        twice = joins(lab, "h1", token, elsewhere, "guest")
        assert twice.returncode == 2
        assert "already joined" in twice.stderr
    finally:
        lab.done("hosts", "remove", "guest")
    short = lab.ask(lambda client: client.create_join_token(1.0))
    until(lambda: time.time() > short.expires_at_s, "the token has expired", 5)
    late = joins(lab, "h2", short.token, "/run/refused", "late")
    assert late.returncode == 1
    assert "expired" in late.stderr
    made = decode_token(token)
    strange = encode_token(JoinToken(server=made.server, ca="0" * 64, secret=made.secret))
    other = joins(lab, "h2", strange, "/run/refused", "guest3")
    assert other.returncode == 1
    assert "is not the server this token was made by" in other.stderr
    unknown = encode_token(JoinToken(server=made.server, ca=made.ca, secret="0" * 20))
    assert "not made by this server" in joins(lab, "h2", unknown, "/run/refused", "guest4").stderr
    assert joins(lab, "h2", "nonsense", "/run/refused", "guest5").returncode == 2
    lab.ground.exec("h2", ["rm", "-rf", "/run/refused"])


def test_a_cloned_identity_is_refused(lab: Lab, tmp_path: Path) -> None:
    copy = lab.ground.exec("h1", ["tar", "-C", IDENTITY, "-cf", "/dev/stdout", "."])
    assert copy.returncode == 0
    text = f"services:\n  a:{SLEEP}    deploy: {{replicas: 3}}\n"
    with cluster_lab.stack(lab, "cloned", tmp_path, text) as stack:
        stack.runs()
        before = {view.name: view.id for view in stack.running()}
        source = Path(f"/proc/{lab.pid('h1', 'agent')}/root{IDENTITY}")
        target = Path(f"/proc/{lab.pid('h2', 'agent')}/root/run/clone")
        shutil.copytree(source, target)
        own = {"PYTHONPATH": lab.environment["PYTHONPATH"], "HOME": "/root"}
        log = tmp_path / "log"
        lab.ground.run("h2", lab.argv("agent", "run", "--data", "/run/clone"), label="clone", env=own, log=log)
        try:
            until(lambda: re.search("identity|clone", log.read_text()) is not None, "it is told why it is refused", 30)
            assert "h1" in log.read_text()
        finally:
            lab.ground.end("h2", "clone")
            shutil.rmtree(target)
        assert lab.ground.pid("h2", "clone") is None
        lab.all_active()
        until(lambda: settled(stack, "a", 3), "all is as it was", 20)
        assert {view.name: view.id for view in stack.running()} == before
        assert nothing_double(stack, 3)


@pytest.mark.parametrize(("version", "words"), [(0, "older than the server"), (99, "newer than the server")])
def test_an_agent_of_another_time_is_refused_and_disturbs_nothing(
    lab: Lab, tmp_path: Path, version: int, words: str
) -> None:
    """It stays, and so do its host's containers; both logs say who has to be upgraded."""
    source = Path(lab.environment["PYTHONPATH"]) / "paddock"
    shutil.copytree(source, tmp_path / "paddock", ignore=shutil.ignore_patterns("__pycache__", "sim"))
    messages = tmp_path / "paddock" / "wire" / "messages.py"
    messages.write_text(re.sub(r"(?m)^((?:OLDEST_)?PROTOCOL) = .*", rf"\1 = {version}", messages.read_text()))
    text = f"services:\n  web:{SLEEP}    deploy: {{placement: {{constraints: [node.hostname==h3]}}}}\n"
    with cluster_lab.stack(lab, f"time{version}", tmp_path, text) as stack:
        stack.runs()
        before = stack.one("web").id
        lab.end("h3", "agent", signal.SIGTERM)
        own = {"PYTHONPATH": str(tmp_path), "HOME": "/root"}
        log = tmp_path / "log"
        lab.ground.run("h3", lab.argv("agent", "run"), label="strange", env=own, log=log)
        try:
            until(lambda: log.exists() and words in log.read_text(), "it is told why it is refused", 30)
            assert "upgrade" in log.read_text()
            assert lab.ground.pid("h3", "strange") is not None, "it goes on looking after what is there"
            assert words in (lab.ground.root / "machine" / "log" / "server.log").read_text()
        finally:
            lab.ground.end("h3", "strange")
            lab.revive("h3")
        lab.all_active()
        until(lambda: settled(stack, "web", 1), "all is as it was", 20)
        assert stack.one("web").id == before


def test_drain_moves_what_can_be_moved_and_names_what_cannot(lab: Lab, tmp_path: Path) -> None:
    text = f"""
services:
  data:{SLEEP}
    volumes: ["kept:/data"]
  web:{SLEEP}
    deploy: {{replicas: 3}}
volumes:
  kept:
"""
    with cluster_lab.stack(lab, "drained", tmp_path, text) as stack:
        stack.runs()
        data = stack.one("data")
        host = data.host
        try:
            done = lab.paddock("hosts", "drain", host)
            assert done.returncode in (0, 1), done.stderr
            said = done.stdout + done.stderr
            assert "drained-data-1" in said
            assert "kept" in said
            until(
                lambda: settled(stack, "web", 3) and host not in {view.host for view in stack.running("web")},
                "what can be moved has moved", 30,
            )  # fmt: skip
            assert stack.one("data").id == data.id
            assert "drain" in lab.done("hosts")
            assert "kept" in lab.done("explain", "drained-data-1")
        finally:
            lab.done("hosts", "activate", host)


def test_a_removed_host_is_told_and_its_containers_go_elsewhere(lab: Lab, tmp_path: Path) -> None:
    text = f"services:\n  web:{SLEEP}    deploy: {{replicas: 3}}\n"
    with cluster_lab.stack(lab, "removed", tmp_path, text) as stack:
        stack.runs()
        done = lab.paddock("hosts", "remove", "h3")
        assert done.returncode == 2, "a host that lives and has containers is not removed by mistake"
        assert "h3" in done.stderr
        try:
            lab.done("hosts", "remove", "--force", "h3")
            until(lambda: settled(stack, "web", 3) and "h3" not in {view.host for view in stack.running()}, "moved", 30)
            log = lab.ground.root / "hosts" / "h3" / "log" / "agent.log"
            until(lambda: "host h3 was removed" in log.read_text(), "its agent is told", 20)
        finally:
            rejoin(lab, "h3")
        until(lambda: nothing_double(stack, 3), "nothing of before is left on it", 30)


def rejoin(lab: Lab, host: str) -> None:
    """The agent is forgotten too: revived without an identity it might be just about to end when the next is to run."""
    lab.ground.end(host, "agent")
    lab.ground.exec(host, ["rm", "-rf", IDENTITY])
    lab.cluster.up(len(lab.hosts))
    lab.all_active()
