"""The playground on real namespaces and real engines."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine_api
from paddock.model.errors import Conflict, NotFound, UserError
from paddock.playground import engine, images, machine
from paddock.playground.host import PRIVATE
from paddock.playground.playground import Playground
from paddock.playground.state import ACTIVE, CUT, DOWN, STOPPED, Reachable
from waiting import until

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="PLAYGROUND NOT TESTED: needs Linux and root"
    ),
]

NAME = f"t{os.getpid() % 0xFFFFF:05x}"
KINDS = ("net", "pid", "mnt")
BUSYBOX = "busybox:latest"
PYTHON_ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
UP = (
    "from pathlib import Path; from paddock.playground.playground import Playground; Playground(Path({!r}), {!r}).up(2)"
)


def states(playground: Playground) -> list[str]:
    return [host.state for host in playground.status().hosts]


def engine_id(playground: Playground, host: str) -> str:
    found = engine_api.call(playground.socket(host), "GET", "/info")
    assert isinstance(found, dict)
    return str(found["ID"])


def pings(address: str) -> bool:
    return subprocess.run(["ping", "-c1", "-W1", address], capture_output=True).returncode == 0


def fetched(address: str, port: int) -> str:
    """What a published port says, "" if nothing."""
    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            connection.settimeout(2)
            return connection.recv(100).decode()
    except OSError:
        return ""


def boots(playground: Playground) -> list[int | None]:
    return [playground._host(host).boot_pid() for host in playground.hosts]


def all_pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def namespace(pid: int | None, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def new_root() -> Path:
    """Short: the path of an engine's socket has a limit, and pytest's own folders are long."""
    return Path(tempfile.mkdtemp(prefix="pg"))


def assert_nothing_left(playground: Playground) -> None:
    """Looks only for what bears this playground's names: the machine is shared."""
    prefix, root = playground.prefix, str(playground.root)
    assert not playground.root.exists()
    assert f" {prefix}-" not in machine.command(["ip", "-o", "link"])
    assert root not in Path("/proc/self/mountinfo").read_text()
    assert f":{prefix}" not in machine.command(["iptables-save"])
    assert not [path for path in Path("/sys/fs/cgroup").glob(f"**/{prefix}") if path.is_dir()]
    assert not [pid for pid in all_pids() if root in command_line(pid)]


@pytest.fixture(scope="module")
def cache() -> Path:
    """Of images; kept between runs."""
    return Path(os.environ.get("PADDOCK_TEST_CACHE") or "/var/cache/paddock-tests")


@pytest.fixture(scope="module")
def playground(cache: Path) -> Iterator[Playground]:
    this = Playground(new_root(), NAME)
    try:
        this.up(3)
        this.load(images.build("busybox", cache))
        yield this
    finally:
        this.down()
    assert_nothing_left(this)


def test_hosts_are_up_and_told(playground: Playground) -> None:
    told = playground.status()
    assert [(host.name, host.state) for host in told.hosts] == [("h1", ACTIVE), ("h2", ACTIVE), ("h3", ACTIVE)]
    assert all(Path(host.engine.removeprefix("unix://")).is_socket() for host in told.hosts)
    assert len({engine_id(playground, host) for host in playground.hosts}) == 3
    assert [playground.exec(host, ["hostname"]).stdout.strip() for host in playground.hosts] == ["h1", "h2", "h3"]
    if Path("/etc/machine-id").exists():
        # A host has of its own what the machine has at all: an image made for containers may lack this one.
        assert len({playground.exec(host, ["cat", "/etc/machine-id"]).stdout for host in playground.hosts}) == 3


def test_up_again_changes_nothing(playground: Playground) -> None:
    def seen() -> tuple[object, ...]:
        return boots(playground), [playground.pid(host, engine.LABEL) for host in playground.hosts], playground.status()

    before = seen()
    playground.up(2)
    assert seen() == before
    assert None not in boots(playground)


def test_machine_and_hosts_reach_each_other(playground: Playground) -> None:
    assert [host.name for host in playground.status().hosts if not pings(host.address)] == []
    for name in ("h1", "h3", playground.address):
        assert playground.exec("h2", ["ping", "-c1", "-W1", name]).returncode == 0, name


def test_a_server_on_the_machine_hears_the_hosts(playground: Playground) -> None:
    heard: list[str] = []
    with socket.create_server((playground.address, 0)) as server:
        server.settimeout(10)

        def accept() -> None:
            connection, peer = server.accept()
            connection.close()
            heard.append(peer[0])

        thread = threading.Thread(target=accept)
        thread.start()
        knock = f"exec 3<>/dev/tcp/{playground.address}/{server.getsockname()[1]}"
        assert playground.exec("h3", ["bash", "-c", knock]).returncode == 0
        thread.join(10)
    assert heard == [playground.status().hosts[2].address]


def test_a_published_port_answers_from_the_machine(playground: Playground) -> None:
    engine_api.start(
        playground.socket("h1"), "web", BUSYBOX, ["sh", "-c", "while :; do echo hello | nc -l -p 80; done"],
        ExposedPorts={"80/tcp": {}},
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
    )  # fmt: skip
    address = playground.status().hosts[0].address
    assert until(lambda: fetched(address, 8080), "the published port answers") == "hello\n"
    engine_api.remove(playground.socket("h1"), "web")


def test_cut_unplugs_and_heal_plugs(playground: Playground) -> None:
    address = playground.status().hosts[1].address
    playground.cut("h2")
    assert states(playground) == [ACTIVE, CUT, ACTIVE]
    assert not pings(address)
    assert playground.exec("h1", ["ping", "-c1", "-W1", "h2"]).returncode != 0
    assert engine.answers(playground.socket("h2"))
    playground.kill("h2")
    assert states(playground)[1] == DOWN
    playground.start("h2")
    assert states(playground)[1] == CUT
    assert not pings(address)
    playground.heal("h2")
    until(lambda: pings(address), "the healed host answers")
    assert states(playground) == [ACTIVE, ACTIVE, ACTIVE]


def test_kill_is_a_power_failure_that_the_engines_state_survives(playground: Playground) -> None:
    known = engine_id(playground, "h3")
    engine_api.start(
        playground.socket("h3"), "always", BUSYBOX, ["sleep", "999"], HostConfig={"RestartPolicy": {"Name": "always"}}
    )
    engine_api.start(playground.socket("h3"), "never", BUSYBOX, ["sleep", "999"])
    boot = boots(playground)[2]
    within = namespace(boot, "mnt")
    playground.kill("h3")
    assert not [pid for pid in all_pids() if namespace(pid, "mnt") == within]
    until(lambda: boot not in all_pids(), "the machine's init reaps the host's first process")
    assert states(playground)[2] == DOWN
    playground.start("h3")
    assert engine_id(playground, "h3") == known
    until(lambda: engine_api.state(playground.socket("h3"), "always")["Running"], "restart: always is honoured")
    assert engine_api.state(playground.socket("h3"), "never")["Running"] is False
    for name in ("always", "never"):
        engine_api.remove(playground.socket("h3"), name)


def test_stop_is_orderly_and_start_brings_all_back(playground: Playground) -> None:
    known = engine_id(playground, "h2")
    goodbye = "trap 'echo bye >/kept/word; exit 0' TERM; echo up >/kept/word; while :; do sleep 1 & wait; done"
    engine_api.start(
        playground.socket("h2"), "polite", BUSYBOX, ["sh", "-c", goodbye], HostConfig={"Binds": ["word:/kept"]}
    )
    word = playground.root / "hosts/h2/docker/volumes/word/_data/word"
    until(lambda: word.is_file() and word.read_text() == "up\n", "the container runs")
    playground.stop("h2")
    assert word.read_text() == "bye\n"
    assert states(playground)[1] == STOPPED
    playground.stop("h2")
    playground.start("h2")
    assert states(playground)[1] == ACTIVE
    assert engine_id(playground, "h2") == known
    assert engine_api.state(playground.socket("h2"), "polite")["Running"] is False
    engine_api.remove(playground.socket("h2"), "polite")


def test_an_engine_killed_is_revived_and_its_containers_live_on(playground: Playground) -> None:
    engine_api.start(playground.socket("h1"), "lives", BUSYBOX, ["sleep", "999"])
    before = engine_api.state(playground.socket("h1"), "lives")["Pid"]
    assert playground.signal("h1", engine.LABEL, signal.SIGKILL)
    until(lambda: states(playground)[0] == DOWN, "the loss is told")
    playground.start("h1")
    state = engine_api.state(playground.socket("h1"), "lives")
    assert (state["Running"], state["Pid"]) == (True, before)
    engine_api.remove(playground.socket("h1"), "lives")


def test_a_process_runs_with_its_host(playground: Playground) -> None:
    playground.run(
        "h1", ["sh", "-c", 'echo "$KEY on $(hostname)"; exec sleep 999'], label="agent", env={"KEY": "value"}
    )
    log = playground.root / "hosts/h1/log/agent.log"
    assert until(log.read_text, "it writes its log") == "value on h1\n"
    first = playground.pid("h1", "agent")
    playground.run("h1", ["sh", "-c", 'echo "$KEY again"; exec sleep 999'], label="agent", env={"KEY": "value"})
    assert playground.pid("h1", "agent") == first, "a second start leaves it alone"
    playground.kill("h1")
    with pytest.raises(UserError, match="has no power"):
        playground.pid("h1", "agent")
    playground.up(3)
    assert playground.pid("h1", "agent") not in (None, first)
    until(lambda: log.read_text().endswith("value again\n"), "it runs as given last")
    playground.end("h1", "agent")
    assert playground.pid("h1", "agent") is None
    playground.start("h1")
    assert playground.pid("h1", "agent") is None, "what was ended is forgotten"


def test_a_program_that_is_not_there_is_named(playground: Playground) -> None:
    with pytest.raises(UserError, match="no-such-program: not found"):
        playground.run("h1", ["no-such-program"], label="missing", env={})


def test_a_second_playground_stands_beside_the_first(playground: Playground, tmp_path: Path) -> None:
    other = Playground(new_root(), f"{NAME}-beside")
    try:
        other.up(1)
        assert other.add() == "h2"
        assert states(other) == [ACTIVE, ACTIVE]
        assert not {host.address for host in other.status().hosts} & {
            host.address for host in playground.status().hosts
        }
        assert pings(other.status().hosts[1].address)
        other.record(Reachable(server="https://here:1", api_key_file="/key", docker_host="unix:///d.sock"))
        told = other.status()
        assert (told.server, told.api_key_file, told.docker_host) == ("https://here:1", "/key", "unix:///d.sock")
        with pytest.raises(Conflict, match="runs from"):
            Playground(tmp_path, f"{NAME}-beside").up(1)
    finally:
        other.down()
    assert_nothing_left(other)
    assert states(playground) == [ACTIVE, ACTIVE, ACTIVE]
    for target in PRIVATE.values():
        assert playground.exec("h1", ["mountpoint", "-q", target]).returncode == 0, f"{target} is still the host's own"


def test_a_chosen_engine_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used, chosen = tmp_path / "used", tmp_path / "engine"
    chosen.mkdir()
    for program in ("containerd", "containerd-shim-runc-v2", "runc", "docker-init"):
        (chosen / program).symlink_to(shutil.which(program) or program)
    monkeypatch.setenv("PADDOCK_ENGINE_DIR", str(chosen))
    this = Playground(new_root(), f"{NAME}-chosen")
    with pytest.raises(UserError, match="lacks dockerd"):
        this.up(1)
    wrapper = chosen / "dockerd"
    wrapper.write_text(f'#!/bin/sh\necho "$0" >>{used}\nexec {shutil.which("dockerd")} "$@"\n')
    wrapper.chmod(0o755)
    try:
        assert [host.state for host in this.up(1).hosts] == [ACTIVE]
        monkeypatch.delenv("PADDOCK_ENGINE_DIR")
        this.kill("h1")
        this.start("h1")
        assert used.read_text() == f"{wrapper}\n" * 2
        this.kill("h1")
        wrapper.write_text("#!/bin/sh\necho no engine today >&2\nexit 1\n")
        with pytest.raises(UserError, match=r"engine of h1 did not come up: .*no engine today"):
            this.start("h1")
    finally:
        this.down()
    assert_nothing_left(this)


def test_what_cannot_be_is_said_in_a_sentence(playground: Playground, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no host 'h9'"):
        playground.kill("h9")
    with pytest.raises(NotFound, match="no playground is up"):
        Playground(tmp_path, NAME).kill("h1")
    with pytest.raises(UserError, match="1 to 31 hosts"):
        playground.up(32)
    with pytest.raises(Conflict, match="is taken"):
        Playground(tmp_path / "a", f"{NAME}-a", subnet=f"{playground.address.rsplit('.', 2)[0]}.0.0/16").up(1)
    with pytest.raises(UserError, match="too long"):
        Playground(tmp_path / ("x" * 90), f"{NAME}-b").up(1)
    with pytest.raises(NotFound, match="no image file"):
        playground.load(tmp_path / "none.tar")
    (tmp_path / "not.tar").write_bytes(b"this is no image" * 100)
    with pytest.raises(UserError, match="the engine"):
        playground.load(tmp_path / "not.tar", "h1")


def test_without_root_it_says_so() -> None:
    code = f"import os; os.setuid(65534); {UP.format('/nowhere', 'x')}"
    script = f"import paddock.playground.playground; {code}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=PYTHON_ENV,
        cwd="/",
        timeout=30,
    )
    assert "a playground needs root" in done.stderr
    assert "run it with sudo" in done.stderr


def test_an_up_that_was_killed_half_way_is_taken_down() -> None:
    this = Playground(new_root(), f"{NAME}-half")
    with subprocess.Popen(
        [sys.executable, "-c", UP.format(str(this.root), this.name)],
        env=PYTHON_ENV,
        cwd="/",
    ) as starting:
        until(this._cgroup.pids, "its first process runs", 20)
        starting.kill()
    (this.root / "playground.json").write_text("{ half a")
    this.down()
    assert_nothing_left(this)
    this.down()
    assert_nothing_left(this)


def test_up_waits_for_a_down_that_came_first() -> None:
    this = Playground(new_root(), f"{NAME}-turn")
    this.up(1)
    again = threading.Thread(target=this.up, args=(1,))
    lock = this.root / "lock"
    down = threading.Thread(target=this.down)
    down.start()
    until(lambda: not (this.root / "hosts").exists(), "it is being taken down")
    again.start()
    down.join(30)
    again.join(30)
    try:
        assert lock.exists()
        assert states(this) == [ACTIVE]
    finally:
        this.down()
    assert_nothing_left(this)


def test_down_leaves_nothing() -> None:
    this = Playground(new_root(), f"{NAME}-down")
    this.up(2)
    this.run(None, ["sleep", "999"], label="server", env={})
    held = {namespace(pid, kind) for pid in boots(this) for kind in KINDS}
    assert len(held) == 6
    this.cut("h2")
    this.down()
    assert_nothing_left(this)
    # The machine's init reaps the dead in its own time, and until then they show the namespace they were in.
    until(lambda: not {namespace(pid, kind) for pid in all_pids() for kind in KINDS} & held, "no namespace is left", 30)
