"""`docs/guides/real-machines.md`, done on two hosts of a playground that know nothing of Paddock.

The wheel is installed away from this repository. systemd does not run in the hosts: what the guide lets systemd do
(`install`, `uninstall`) only writes units here, and their `ExecStart` is run with the rights the unit leaves it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import site
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from docs_examples import DOCS, ROOT, Block, blocks
from paddock.playground import images
from paddock.playground.playground import Playground
from waiting import until

pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="WHEEL NOT TRIED: needs Linux and root"),
]

GUIDE = DOCS / "guides" / "real-machines.md"
CACHE = Path("/var/cache/paddock/images")
UNITS = Path("/etc/systemd/system")
WRITTEN = {"192.0.2.11": "h1", "192.0.2.12": "h2"}
COMMAND_TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="paddock-wheel-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def wheel(work: Path) -> Path:
    run([sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", str(work), str(ROOT)])
    return next(work.glob("paddock-*.whl"))


@pytest.fixture(scope="module")
def program(work: Path, wheel: Path) -> Path:
    """Dependencies are borrowed from the environment that runs the tests; Paddock itself is the wheel's."""
    venv = work / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(venv)])
    packages = next((venv / "lib").glob("python3*")) / "site-packages"
    run([sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", str(packages), str(wheel)])
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    (venv / "bin" / "paddock").write_text(
        f"#!{venv}/bin/python\nimport sys\nfrom paddock.main import main\nsys.exit(main())\n"
    )
    (venv / "bin" / "paddock").chmod(0o755)
    return venv / "bin" / "paddock"


def run(argv: list[str]) -> str:
    # Other tests may have said where this checkout is; a machine with the wheel knows nothing of it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_wheel_has_what_it_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith(("paddock/sim/", "tests/"))]
    assert not [name for name in names if not name.startswith(("paddock/", "paddock-"))]
    here = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "paddock").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "sim" not in path.parts
    }
    assert here <= set(names)


def test_it_is_the_wheel_that_answers(program: Path) -> None:
    where = run([str(program.with_name("python")), "-c", "import paddock; print(paddock.__file__)"])
    assert where.startswith(str(program.parent.parent))
    assert run([str(program), "--version"]).startswith("paddock ")


class Machines:
    """Two bare hosts; `do` runs a command of the guide on one of them."""

    def __init__(self, playground: Playground, program: Path, work: Path) -> None:
        self.playground = playground
        self.addresses = {host.name: host.address for host in playground.status().hosts}
        self.work = work
        self.path = f"{program.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        for host in playground.hosts:
            (work / host / "units").mkdir(parents=True)
            # Of its own, as every machine's is.
            self.checked(host, ["mount", "--bind", str(work / host / "units"), str(UNITS)])

    def environment(self, host: str) -> dict[str, str]:
        return {"PATH": self.path, "HOME": str(self.work / host), "LANG": "C.UTF-8"}

    def run(self, host: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
        variables = [f"{name}={value}" for name, value in self.environment(host).items()]
        inside = ["env", "-i", f"--chdir={self.work / host}", *variables, *argv]
        return self.playground.exec(host, inside, timeout_s=COMMAND_TIMEOUT_S)

    def checked(self, host: str, argv: list[str]) -> str:
        done = self.run(host, argv)
        assert done.returncode == 0, f"{host}: {shlex.join(argv)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def do(self, host: str, block: Block, command: str) -> str:
        for written, name in WRITTEN.items():
            command = command.replace(written, self.addresses[name])
        if "TOKEN" in command:
            created = json.loads(self.checked("h1", ["paddock", "hosts", "add", "--json"]))
            command = command.replace("TOKEN", shlex.split(created["command"])[-1])
        words = shlex.split(command)
        if words[2:3] == ["install"]:
            command += " --no-start"
        if words[2:3] == ["uninstall"]:
            command += " --no-stop"
        said = self.checked(host, ["bash", "-euc", command])
        if words[2:3] == ["install"]:
            self.as_systemd(host, words[1])
        if words[2:3] == ["uninstall"]:
            assert not (self.work / host / "units" / f"paddock-{words[1]}.service").exists(), block.place
            self.playground.end(host, words[1])
        return said

    def as_systemd(self, host: str, what: str) -> None:
        """Starts what the unit says, with its capabilities and no more, and waits until it is of use."""
        unit = (self.work / host / "units" / f"paddock-{what}.service").read_text()
        lines = dict(line.partition("=")[::2] for line in unit.splitlines() if "=" in line)
        kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in lines["CapabilityBoundingSet"].split())
        confined = ["setpriv", "--no-new-privs", f"--bounding-set=-all,{kept}", "--inh-caps=-all", "--"]
        environment: Mapping[str, str] = {**self.environment(host), "PYTHONWARNINGS": "error"}
        command = [*confined, *shlex.split(lines["ExecStart"])]
        self.playground.run(host, command, label=what, env=environment)
        if what == "server":
            made = ["test", "-s", "/var/lib/paddock/server/admin.key"]
            until(lambda: self.run(host, made).returncode == 0, "the first admin key", 20)
            ping = f"https://{self.addresses[host]}:7443/v1/ping"
            until(lambda: self.run(host, ["curl", "-ksf", ping]).returncode == 0, "the server answers", 20)
        else:
            until(lambda: self.state(host) == "active", f"{host} is active", 30)

    def state(self, host: str) -> str:
        views = json.loads(self.checked("h1", ["paddock", "hosts", "--json"]))
        return next((str(view["state"]) for view in views if view["name"] == host), "")


@pytest.fixture
def machines(program: Path, work: Path) -> Iterator[Machines]:
    name = f"r{os.getpid() % 0xFFFFF:05x}"
    root = Path("/var/lib") / f"paddock-{name}"
    playground = Playground(root, name)
    try:
        playground.up(2)
        for image in ("nginx", "python"):
            playground.load(images.build(image, CACHE))
        yield Machines(playground, program, work)
    finally:
        playground.down()
    assert not root.exists()


def test_the_guide_leads_from_bare_machines_to_an_answer(machines: Machines) -> None:
    said: list[str] = []
    for block in blocks(GUIDE):
        if block.language == "yaml":
            (machines.work / "h1" / block.marks["file"]).write_text(block.text)
        for command in block.commands if block.language == "console" else ():
            said.append(machines.do(block.marks["host"], block, command))
            if command.startswith("curl"):
                assert "Directory listing" in said[-1]
                assert "Serving HTTP" in machines.checked("h1", ["paddock", "logs", "hello/api"])
            if command == "paddock ps":
                where = {line.split()[1]: line.split()[2] for line in said[-1].splitlines()[1:]}
                assert where == {"hello/web": "h1", "hello/api": "h2"}
            if command.startswith("paddock up"):
                log = machines.playground.root / "hosts" / "h1" / "log" / "server.log"
                assert "paddock_" not in log.read_text(), "the admin key is in the log"
    assert len(said) >= 16
