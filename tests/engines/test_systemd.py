"""`docs/guides/real-machines.md` on two bare machines that a real systemd runs, with what befalls machines afterwards.

`test_real_machines.py` does the same where systemd cannot be had, and looks more closely at the wheel.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import systemd_machine
from docs_examples import DOCS, ROOT, Block, blocks
from paddock.playground import images
from systemd_machine import Cable, Machine
from waiting import until

pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or bool(systemd_machine.missing()),
        reason=f"UNITS NOT RUN BY SYSTEMD: {systemd_machine.missing()}",
    ),
    pytest.mark.skipif(
        not os.environ.get("PADDOCK_TEST_SYSTEMD"),
        reason="UNITS NOT RUN BY SYSTEMD: it takes minutes; PADDOCK_TEST_SYSTEMD=1 asks for it",
    ),
]

GUIDE = DOCS / "guides" / "real-machines.md"
IMAGES = Path("/var/cache/paddock/images")
ADDRESSES = {"h1": "192.0.2.11", "h2": "192.0.2.12"}
"""As the guide has them: nothing is replaced."""
OFFLINE = "[global]\nno-index = true\nfind-links = /root/wheels\n"
INSTALL_TIMEOUT_S = 600.0
HEAL_S = 60.0


def pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *words, "-qq"], check=True, timeout=INSTALL_TIMEOUT_S)


def wheels(wheel: Path) -> Path:
    """The folder of all that a machine without a package index needs besides Paddock. Fetched once."""
    name = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()[:16]
    folder = systemd_machine.CACHE / f"wheels-{name}"
    if not folder.is_dir():
        draft = folder.with_name(f".wheels-{name}")
        shutil.rmtree(draft, ignore_errors=True)
        pip("download", "-d", str(draft), str(wheel), "pip", "setuptools", "wheel")
        (draft / wheel.name).unlink()
        draft.rename(folder)
    return folder


@pytest.fixture(scope="module")
def machines() -> Iterator[dict[str, Machine]]:
    """Installed on the first, which is then copied: the second is as bare, and saves half a minute."""
    try:
        base = systemd_machine.debian()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"UNITS NOT RUN BY SYSTEMD: no Debian to be had: {str(error.stderr)[-300:]}")
    folder = Path(tempfile.mkdtemp(prefix="paddock-systemd-", dir="/var/lib"))
    # In memory: what is written here is thousands of small files, thrown away a minute later.
    systemd_machine.run("mount", "-t", "tmpfs", "-o", "size=3g,mode=700", "machines", str(folder))
    cable = Cable(f"s{os.getpid() % 0xFFFFF:05x}")
    found = {name: Machine(name, address, folder / name, cable) for name, address in ADDRESSES.items()}
    first, second = found.values()
    try:
        cable.make()
        first.start(base)
        # Not straight into the machine: pip resolves the path, and would end in this computer's own /root.
        pip("wheel", "--no-deps", "-w", str(folder / "dist"), str(ROOT))
        (wheel,) = (folder / "dist").iterdir()
        shutil.copytree(folder / "dist", first.path("/root/dist"))
        shutil.copytree(wheels(wheel), first.path("/root/wheels"))
        first.path("/etc/pip.conf").write_text(OFFLINE)
        first.do("pipx install ./dist/paddock-*.whl && pipx ensurepath")
        second.copy(first)
        second.start(base)
        for name in ("nginx", "python"):
            shutil.copy(images.build(name, IMAGES), first.path(f"/root/{name}.tar"))
            first.do(f"docker load -qi {name}.tar")
        yield found
    finally:
        for machine in found.values():
            machine.remove()
        cable.remove()
        systemd_machine.run("umount", str(folder))
        folder.rmdir()


class Guide:
    """Follows the guide's blocks one after the other."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.machines = machines
        self._left = list(blocks(GUIDE))

    def until(self, command: str) -> str:
        """Does all up to and with `command`; what that one said."""
        while self._left:
            block = self._left.pop(0)
            if block.language == "yaml":
                self.machines["h1"].path(f"/root/{block.marks['file']}").write_text(block.text)
            said = {text: self._do(block, text) for text in block.commands if block.language == "console"}
            if command in said:
                return said[command]
        raise AssertionError(f"the guide never says: {command}")

    def _do(self, block: Block, command: str) -> str:
        if "TOKEN" in command:
            created = json.loads(self.machines["h1"].do("paddock hosts add --json"))
            command = command.replace("TOKEN", created["command"].split()[-1])
        return self.machines[block.marks["host"]].do(command)


def containers(machine: Machine) -> list[str]:
    """What cannot stay the same of a container that was disturbed."""
    shown = "{{.Id}} {{.State.Pid}} {{.State.StartedAt}}"
    return sorted(machine.do(f"docker ps -q | xargs docker inspect -f '{shown}'").splitlines())


def healed(machines: dict[str, Machine]) -> None:
    first = machines["h1"]
    until(lambda: first.run("paddock up -d --wait").returncode == 0, "the stack runs", HEAL_S)
    until(lambda: first.run("curl -sf http://192.0.2.11:8080/").returncode == 0, "web answers and finds api", HEAL_S)


def test_a_start_that_fails_says_why(machines: dict[str, Machine]) -> None:
    """And nothing of it is left when it is uninstalled."""
    machine = machines["h2"]
    machine.do("systemd-run -q --unit=holder python3 -m http.server 7443")
    until(lambda: machine.run("curl -sf http://127.0.0.1:7443/").returncode == 0, "the port is taken")
    taken, early = machine.run("paddock server install"), machine.run("paddock agent install")
    assert (taken.returncode, early.returncode) == (1, 1)
    assert "paddock-server did not start: paddock server: port 7443 of this machine cannot be opened" in taken.stderr
    assert "paddock-agent did not start: paddock: this host has not joined a server" in early.stderr
    wrong = machine.run("paddock server install --pool nonsense")
    assert (wrong.returncode, "--pool nonsense" in wrong.stderr) == (2, True)
    assert machine.do("systemctl show -P NRestarts paddock-server paddock-agent").split() == ["0", "0"]
    machine.do("systemctl stop holder; paddock server uninstall; paddock agent uninstall; rm -r /var/lib/paddock")
    assert machine.do("systemctl list-units --all --no-legend 'paddock*'") == ""


NETWORKS = "docker network ls -q --filter label=io.paddock.network"
LEFT = """
docker ps -aq
ls /etc/systemd/system | grep paddock
systemctl list-units --all --no-legend 'paddock*'
pgrep paddock
ip -br link | grep ^pdk
true"""
"""What is still there of us, data apart."""


def services_may_go(machines: dict[str, Machine]) -> None:
    """Containers notice neither a restart of the services nor their sudden end nor an upgrade."""
    first, second = machines.values()
    before = containers(first), containers(second)
    first.do("systemctl restart paddock-server paddock-agent && paddock hosts")
    second.do("systemctl restart paddock-agent")
    first.do("systemctl kill -s KILL paddock-server paddock-agent")
    again = (
        "for one in server agent; do systemctl show -P NRestarts paddock-$one; systemctl is-active paddock-$one; done"
    )
    until(lambda: first.run(again).stdout.split() == ["1", "active"] * 2, "systemd started both again", HEAL_S)
    first.do("pipx install --force ./dist/paddock-*.whl && systemctl restart paddock-server paddock-agent")
    healed(machines)
    assert (containers(first), containers(second)) == before


def machines_may_go(machines: dict[str, Machine]) -> None:
    """One by a power failure; then one in order, where nginx ends with 0 because it is asked to."""
    first, second = machines.values()
    second.kill()
    second.start(systemd_machine.debian())
    healed(machines)
    first.reboot(systemd_machine.debian())
    healed(machines)
    first.do("systemctl restart docker")
    healed(machines)
    assert first.state() == second.state() == "running"


def test_the_guide_and_what_befalls_machines(machines: dict[str, Machine]) -> None:
    guide = Guide(machines)
    guide.until("paddock context show")
    assert machines["h1"].do("systemctl is-active paddock-server").split() == ["active"]
    lines = guide.until("paddock ps").splitlines()[1:]
    assert {line.split()[1]: line.split()[2] for line in lines} == {"hello/web": "h1", "hello/api": "h2"}
    guide.until("paddock server backup /var/lib/paddock/first.backup")
    services_may_go(machines)
    machines_may_go(machines)
    guide.until("paddock hosts drain h2")
    for machine in machines.values():
        until(lambda machine=machine: not machine.do(NETWORKS), f"{machine.name} lets go of networks")  # type: ignore[misc]
    guide.until("paddock server uninstall")
    for machine in machines.values():
        assert machine.do(LEFT) == ""
        assert machine.do("ls /var/lib/paddock").split()
        assert machine.state() == "running"
