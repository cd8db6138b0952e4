"""The cable between the hosts: a bridge in the machine's own network, so that a shell on the machine reaches them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from paddock.model.errors import Conflict, UserError
from paddock.playground import machine, plan
from paddock.playground.wait import until

ALIAS = "paddock-playground"
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
LOCK_TIMEOUT_S = 30.0


class Link(msgspec.Struct, frozen=True):
    ifname: str
    flags: tuple[str, ...] = ()
    ifalias: str = ""
    master: str = ""


class Lan:
    """The bridge carries an alias: whose it is (root directory) and what ip_forward was before the first playground."""

    def __init__(self, prefix: str, root: Path) -> None:
        self.prefix = prefix
        self.root = root
        self.bridge = f"{prefix}-lan"
        self.tag = f"{ALIAS}:{prefix}"

    def choose_subnet(self, wanted: str | None) -> str:
        """The wanted /16, or the first that no route of the machine overlaps."""
        for subnet in (wanted,) if wanted else plan.SUBNETS:
            taken = machine.owner_of(plan.network(subnet), self.bridge)
            if taken is None:
                return subnet
            if wanted:
                raise Conflict(
                    f"address range {wanted} is taken: {taken}", hint="choose another /16 for the playground"
                )
        raise Conflict("every address range known to the playground is taken", hint="name a free /16 for it")

    def check_owner(self) -> None:
        """Refuses to touch the playground of the same name that lives under another root."""
        link = self._links().get(self.bridge)
        if link and link.ifalias and _root_of(link.ifalias) != _shown(self.root):
            raise Conflict(
                f"a playground of this name runs from {_root_of(link.ifalias)}", hint="use that root, or another name"
            )

    def make(self, subnet: str, tell: Callable[[str], None]) -> None:
        """Makes the bridge and its rules where they are missing."""
        if self.bridge not in self._links():
            batch(
                f"link add {self.bridge} type bridge forward_delay 0",
                f"addr add {plan.machine_address(subnet)}/24 dev {self.bridge}",
            )
        if not self._links()[self.bridge].ifalias:
            before = self._sibling_forward() or FORWARD.read_text().strip()
            machine.command(["ip", "link", "set", self.bridge, "up", "alias", f"{ALIAS} {before} {self.root}"[:255]])
        if FORWARD.read_text().strip() != "1":
            FORWARD.write_text("1")
        self._add_rules(subnet, tell)

    def remove(self) -> None:
        """Takes away every link and rule of this playground, and forwarding after the last one."""
        links = self._links()
        alias = links[self.bridge].ifalias if self.bridge in links else ""
        ours = [name for name in links if name == self.bridge or name.startswith(f"{self.prefix}-h")]
        for name in ours:
            _delete(name)
        self._remove_rules()
        before = alias.split(" ", 2)[1] if alias.startswith(ALIAS) else ""
        # An engine of the machine's own relies on forwarding too.
        if before and not self._sibling_forward() and "docker0" not in links:
            FORWARD.write_text(before)

    def plug(self, host: str, pid: int, subnet: str, *, connected: bool) -> None:
        """Gives the host whose first process is `pid` its card, and lays the cable (`connected` or lying unplugged)."""
        cable = self.cable(host)
        if cable in self._links():
            # The end of a host that has just lost power: the kernel takes it away in its own time.
            _delete(cable)
        batch(
            f"link add {cable} type veth peer name eth0 address {plan.host_mac(subnet, host)} netns {pid}",
            f"link set {cable} {'up' if connected else 'down'}",
        )
        batch(
            f"addr add {plan.host_address(subnet, host)}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {plan.machine_address(subnet)}",
            inside=pid,
        )
        # Last: it tells that all of the above is done.
        batch(f"link set {cable} master {self.bridge}")

    def plugged(self, host: str) -> bool:
        """Whether `plug` was done to its end, connected or not."""
        link = self._links().get(self.cable(host))
        return link is not None and link.master == self.bridge

    def cable(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def connect(self, host: str, *, connected: bool) -> None:
        machine.command(["ip", "link", "set", self.cable(host), "up" if connected else "down"])

    def unplug(self, host: str) -> None:
        _delete(self.cable(host))

    def _links(self) -> dict[str, Link]:
        found = msgspec.json.decode(
            machine.command(["ip", "-json", "-details", "link", "show"]) or "[]", type=list[Link]
        )
        return {link.ifname: link for link in found}

    def siblings(self) -> tuple[Link, ...]:
        """Bridges of the other playgrounds on this machine."""
        return tuple(link for link in self._links().values() if link.ifname != self.bridge and _is_bridge(link))

    def _sibling_forward(self) -> str:
        """What ip_forward was before any playground, if another one is up."""
        return next((link.ifalias.split(" ", 2)[1] for link in self.siblings()), "")

    def _add_rules(self, subnet: str, tell: Callable[[str], None]) -> None:
        lan = str(plan.lan(subnet))
        wanted = (
            ("filter", "INPUT", "-i", self.bridge, "-j", "ACCEPT"),
            ("filter", "FORWARD", "-i", self.bridge, "-j", "ACCEPT"),
            ("filter", "FORWARD", "-o", self.bridge, "-j", "ACCEPT"),
            ("nat", "POSTROUTING", "-s", lan, "!", "-d", lan, "-j", "MASQUERADE"),
        )
        for table, chain, *rule in wanted:
            tagged = [*rule, "-m", "comment", "--comment", self.tag]
            try:
                if not _iptables_says(["-t", table, "-C", chain, *tagged]):
                    machine.command(["iptables", "-w", "5", "-t", table, "-I", chain, *tagged])
            except UserError as error:
                tell(f"the hosts may not reach beyond this machine, its firewall took no rule: {error}")
                return

    def _remove_rules(self) -> None:
        for table in ("filter", "nat"):
            with contextlib.suppress(UserError):
                for line in machine.command(["iptables", "-w", "5", "-t", table, "-S"]).splitlines():
                    if f" {self.tag} " in f" {line} ".replace('"', " "):
                        machine.command(["iptables", "-w", "5", "-t", table, "-D", *line.replace('"', "").split()[1:]])


@contextlib.contextmanager
def address_lock() -> Iterator[None]:
    """Held while a playground looks for a free range and takes it: two that start at once must not take the same."""
    descriptor = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not until(lambda: flock(descriptor), LOCK_TIMEOUT_S):
            raise UserError("another playground has been starting for long", hint="try again when it is done")
        yield
    finally:
        os.close(descriptor)


def batch(*lines: str, inside: int | None = None) -> None:
    """Several commands of `ip` in one go, on the machine or in the network of process `inside`."""
    enter: Sequence[str] = () if inside is None else ("nsenter", f"--net=/proc/{inside}/ns/net")
    machine.command([*enter, "ip", "-batch", "-"], stdin="\n".join(lines) + "\n")


def flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _iptables_says(arguments: Sequence[str]) -> bool:
    try:
        machine.command(["iptables", "-w", "5", *arguments])
    except UserError:
        return False
    return True


def _delete(link: str) -> None:
    """Deletes a link that may be going away by itself at the same moment."""
    try:
        machine.command(["ip", "link", "delete", link])
    except UserError as error:
        if "Cannot find device" not in str(error):
            raise


def _is_bridge(link: Link) -> bool:
    return link.ifalias.startswith(f"{ALIAS} ")


def _shown(root: Path) -> str:
    return _root_of(f"{ALIAS} 0 {root}"[:255])


def _root_of(alias: str) -> str:
    return alias.split(" ", 2)[2] if alias.startswith(f"{ALIAS} ") else "elsewhere"
