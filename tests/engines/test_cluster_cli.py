"""The command line against real hosts: terminals, streams, answers for scripts, and what goes wrong."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import SLEEP, Lab, Stack
from waiting import until

pytestmark = pytest.mark.engines

TALKER = """
    image: busybox:latest
    command: ["sh", "-c", "n=0; while sleep 1; do n=$$((n+1)); echo line $$n of $$HOSTNAME; done"]
    init: true
    stop_grace_period: 1s
"""


@pytest.fixture(scope="module")
def talk(session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    session_lab.all_active()
    text = f"services:\n  talk:{TALKER}    deploy: {{replicas: 3}}\n"
    with cluster_lab.stack(session_lab, "talk", tmp_path_factory.mktemp("talk"), text) as this:
        this.runs()
        yield this


class Terminal:
    """A command on a pseudo terminal of its own."""

    def __init__(self, lab: Lab, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(33, 99)
        self._process = subprocess.Popen(
            lab.argv(*arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=lab.environment,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def shows(self, text: str, within_s: float = 15.0) -> None:
        until(lambda: self._read() or text in self.seen, f"{text!r} is shown", within_s)

    def _read(self) -> bool:
        while select.select([self._ours], [], [], 0)[0]:
            try:
                self.seen += os.read(self._ours, 4096).decode(errors="replace")
            except OSError:
                return False
        return False

    def end(self) -> int:
        code = self._process.wait(15)
        os.close(self._ours)
        return code


class TestExec:
    def test_a_real_terminal(self, talk: Stack) -> None:
        terminal = Terminal(talk.lab, "exec", "-it", "talk-talk-1", "sh")
        terminal.shows("# ")
        terminal.type("tty; echo first-$((40+2))\n")
        terminal.shows("/dev/pts/")
        terminal.shows("first-42")
        terminal.type("stty -a | head -1\n")
        terminal.shows("33")
        terminal.shows("99")
        terminal.resize(44, 123)

        def resized() -> bool:
            terminal.type("stty -a | head -1\n")
            terminal._read()
            return "123" in terminal.seen and "44" in terminal.seen

        until(resized, "the new size is known inside", 15)
        terminal.type("exit 5\n")
        assert terminal.end() == 5

    def test_exit_codes_and_streams(self, talk: Stack) -> None:
        lab = talk.lab
        done = lab.paddock("exec", "-T", "talk/talk", "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
        assert lab.paddock("exec", "-T", "talk/talk", "nosuchcommand").returncode in (126, 127)
        assert lab.paddock("exec", "-T", "talk/nobody", "true").returncode in (1, 2)
        many = "x" * 200_000
        assert lab.done("exec", "-iT", "talk/talk", "wc", "-c", stdin=many).strip() == "200000"
        assert lab.done("exec", "-T", "--index", "2", "-e", "A=b", "-w", "/tmp", "-u", "1:2", "talk/talk", "sh", "-c",
                        "echo $A $PWD $(id -u):$(id -g) $HOSTNAME").startswith("b /tmp 1:2 ")  # fmt: skip


class TestLogs:
    def test_of_all_hosts_merged(self, talk: Stack) -> None:
        assert len({view.host for view in talk.running()}) == 3

        def all_have_begun() -> bool:
            lines = [line for line in talk.lab.done("logs", "talk").splitlines() if "line 1 of" in line]
            return all(any(f"talk-talk-{number}" in line for line in lines) for number in (1, 2, 3))

        until(all_have_begun, "each has printed its first line", 10)
        entries = [json.loads(line) for line in talk.lab.done("logs", "--json", "-t", "talk").splitlines()]
        assert [one["at"] for one in entries] == sorted(one["at"] for one in entries)
        last = talk.lab.done("logs", "--tail", "1", "--no-log-prefix", "talk-talk-1").splitlines()
        assert len(last) == 1

    def test_followed_through_a_replacement(self, talk: Stack) -> None:
        following = talk.lab.start("logs", "-f", "--tail", "1", "talk/talk")
        try:
            before = talk.running()[1]
            until(lambda: following.says(f"of {before.id[:12]}"), "it follows", 20)
            talk.lab.docker(before.host, "rm", "-f", before.id)
            after = until(
                lambda: [view for view in talk.running() if view.slot == before.slot and view.id != before.id],
                "it is replaced", 20,
            )  # fmt: skip
            until(lambda: following.says(f"line 2 of {after[0].id[:12]}"), "the new one is followed", 20)
        finally:
            code = following.end(signal.SIGINT)
        assert code == 130


def test_events_are_resumed_without_gap_or_repetition(talk: Stack) -> None:
    lab = talk.lab
    every = [json.loads(line) for line in lab.done("events", "--json").splitlines()]
    versions = [event["version"] for event in every]
    assert versions == sorted(versions)
    middle = versions[len(versions) // 2]
    rest = [json.loads(line) for line in lab.done("events", "--since", str(middle), "--json").splitlines()]
    assert rest[: len(every)] == [event for event in every if event["version"] > middle]
    assert any(event["kind"] == "container" and event["name"] == "talk-talk-1" and event["reason"] for event in every)
    assert lab.paddock("events", "--since", "999999999").returncode != 0


def test_every_listing_is_json_too(talk: Stack) -> None:
    lab = talk.lab
    assert {one["name"] for one in lab.json("ps", "talk")} == {"talk-talk-1", "talk-talk-2", "talk-talk-3"}
    assert lab.json("services", "-p", "talk")[0]["ready"] == 3
    assert "talk" in {one["name"] for one in lab.json("stacks")}
    assert [one["name"] for one in lab.json("hosts")] == list(lab.hosts)
    assert lab.json("explain", "talk-talk-1")["placed_because"]
    assert json.loads(lab.done("inspect", "talk-talk-1"))
    assert lab.json("environments")[0]["name"] == "default"


def test_stats_and_top(talk: Stack) -> None:
    lab = talk.lab
    text = lab.done("stats", "--no-stream", "talk")
    assert all(f"talk-talk-{number}" in text for number in (1, 2, 3))
    assert "sleep 1" in lab.done("top", "talk-talk-1")


class TestWhatGoesWrong:
    def test_an_image_that_does_not_exist(self, lab: Lab, tmp_path: Path) -> None:
        text = "services:\n  a: {image: 'nowhere.invalid/nothing:1'}\n"
        with cluster_lab.stack(lab, "noimage", tmp_path, text) as stack:
            before = time.monotonic()
            done = stack.up("--wait-timeout", "60")
            assert done.returncode == 1
            assert "nowhere.invalid/nothing:1" in done.stderr
            assert time.monotonic() - before < 60
            assert "nowhere.invalid/nothing:1" in lab.done("explain", "noimage/a")

    def test_a_container_that_ends_at_once(self, lab: Lab, tmp_path: Path) -> None:
        text = 'services:\n  a: {image: "busybox:latest", command: ["sh", "-c", "exit 3"], restart: "no"}\n'
        with cluster_lab.stack(lab, "atonce", tmp_path, text) as stack:
            done = stack.up("--wait")  # without it, a look at the moment that it runs is enough
            assert done.returncode == 1, done.stderr
            assert "exit code 3" in done.stderr

    def test_a_command_that_is_not_there(self, lab: Lab, tmp_path: Path) -> None:
        text = 'services:\n  a: {image: "busybox:latest", command: ["nosuchprogram"]}\n'
        with cluster_lab.stack(lab, "nocommand", tmp_path, text) as stack:
            done = stack.up()
            assert done.returncode == 1, done.stderr
            assert "nosuchprogram" in done.stderr

    def test_names_that_clash(self, talk: Stack, lab: Lab, tmp_path: Path) -> None:
        text = f"services:\n  a:{SLEEP}    container_name: talk-talk-1\n"
        stack = Stack(lab, "clashing", tmp_path, text)
        done = stack.up()
        assert done.returncode == 2, done.stderr
        assert "talk-talk-1" in done.stderr
        assert "clashing" not in lab.done("stacks")

    def test_a_name_taken_by_a_container_of_somebody_else(self, lab: Lab, tmp_path: Path) -> None:
        for host in lab.hosts:
            lab.docker(host, "create", "--name", "taken-a-1", "busybox:latest", "true")
        try:
            with cluster_lab.stack(lab, "taken", tmp_path, f"services:\n  a:{SLEEP}") as stack:
                done = stack.up("--wait-timeout", "20")
                assert done.returncode == 1, done.stderr
                assert "taken-a-1" in lab.done("explain", "taken/a")
        finally:
            for host in lab.hosts:
                lab.docker(host, "rm", "-f", "taken-a-1")

    def test_large_labels(self, lab: Lab, tmp_path: Path) -> None:
        label = "x" * 65536
        text = f"services:\n  a:{SLEEP}    labels: {{com.example.large: {label}}}\n"
        with cluster_lab.stack(lab, "labels", tmp_path, text) as stack:
            stack.runs()
            assert lab.inspect(stack.one("a"))["Config"]["Labels"]["com.example.large"] == label

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("services:\n  a: {image: busybox, comand: x}\n", "comand"),
            ("services: [", "bad.yaml"),
            ("services:\n  a: {image: busybox, depends_on: [b]}\n", "b"),
            ("services:\n  a: {image: busybox, volumes: ['./here:/there']}\n", "./here"),
            ("services:\n  a: {image: busybox, ports: ['99999:80']}\n", "99999"),
        ],
    )
    def test_bad_files(self, lab: Lab, tmp_path: Path, text: str, said: str) -> None:
        file = tmp_path / "bad.yaml"
        file.write_text(text)
        done = lab.paddock("up", "-d", "-p", "bad", "-f", str(file))
        assert done.returncode == 2, (done.returncode, done.stderr)
        assert "bad.yaml" in done.stderr
        assert said in done.stderr
        assert "bad" not in json.dumps(lab.json("stacks"))

    def test_wrong_arguments(self, lab: Lab) -> None:
        assert lab.paddock("up", "-f", "/nowhere/compose.yaml").returncode == 2
        assert lab.paddock("nosuch").returncode == 2
        assert lab.paddock("explain", "nobody").returncode in (1, 2)
        assert lab.paddock("down", "nobody").returncode in (1, 2)
        assert lab.paddock("scale", "nobody/a=x").returncode == 2
