"""The network of an application over hosts: who reaches whom, and who is kept apart."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import SLEEP, Lab, Stack
from paddock.wire.api import ContainerView
from waiting import until

pytestmark = pytest.mark.engines

MTU = 1450
UDP_OVERHEAD = 28
WHO = """
import os, socket, socketserver, threading
name = os.environ["HOSTNAME"].encode()
class Tcp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(name)
class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        data, line = self.request
        line.sendto(data or name, self.client_address)
class Servers:
    tcp = socketserver.ThreadingTCPServer(("", 8000), Tcp)
    udp = socketserver.UDPServer(("", 8001), Udp)
Servers.udp.max_packet_size = 65536
threading.Thread(target=Servers.udp.serve_forever).start()
Servers.tcp.serve_forever()
"""
"""Says its host name over TCP 8000; sends UDP 8001 back."""
WHO6 = """
import os, socket, socketserver
class Tcp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(os.environ["HOSTNAME"].encode())
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
Server(("::", 8000), Tcp).serve_forever()
"""
ASK = """
import json, socket, sys
def find6(name):
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(name, None, socket.AF_INET6)})
    except OSError:
        return []
def find(name):
    try:
        return sorted(socket.gethostbyname_ex(name)[2])
    except OSError:
        return []
def reverse(address):
    try:
        return socket.gethostbyaddr(address)[0]
    except OSError:
        return ""
def who(address):
    try:
        with socket.create_connection((address, 8000), timeout=3) as line:
            return line.recv(100).decode()
    except OSError as error:
        return "!" + type(error).__name__
def full(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(3)
        line.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: never fragment
        line.connect((address, 8001))
        line.send(b"x" * (1450 - 28))
        got = len(line.recv(65536))
        try:
            line.send(b"x" * (1450 - 27))
        except OSError:
            return got
        return -1
print(json.dumps([globals()[what](about) for what, about in json.loads(sys.argv[1])]))
"""


def ask(lab: Lab, view: ContainerView, *questions: tuple[str, str]) -> list[object]:
    """Questions to be answered inside a container, such as ("find", NAME)."""
    found = json.loads(lab.inside(view, "python3", "-c", ASK, json.dumps(questions)))
    assert isinstance(found, list)
    return found


def address(view: ContainerView, network: str) -> str:
    return view.addresses[network]


TEXT = f"""
services:
  echo:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WHO)}]
    init: true
    stop_grace_period: 1s
    deploy: {{replicas: 3}}
    networks:
      default: {{aliases: [al]}}
    healthcheck: {{test: ["CMD", "test", "!", "-e", "/away"], interval: 300ms, timeout: 5s, retries: 200}}
  fixed:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WHO)}]
    init: true
    stop_grace_period: 1s
    container_name: the-one
    hostname: one
    links: ["echo:friend"]
    networks:
      default: {{}}
      own: {{ipv4_address: 10.213.7.77}}
  near:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WHO)}]
    init: true
    stop_grace_period: 1s
    networks: [own, closed]
    deploy: {{placement: {{constraints: ["node.hostname != h1"]}}}}
  inner:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WHO)}]
    init: true
    stop_grace_period: 1s
    networks: [closed]
    deploy: {{placement: {{constraints: ["node.hostname == h1"]}}}}
  six:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WHO6)}]
    init: true
    stop_grace_period: 1s
    networks: [six]
    deploy: {{replicas: 2, placement: {{max_replicas_per_node: 1}}}}
  asked6:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WHO6)}]
    init: true
    stop_grace_period: 1s
    networks:
      six: {{ipv6_address: "fd5a:7::77"}}
      ula: {{}}
networks:
  own:
    ipam: {{config: [{{subnet: 10.213.0.0/16}}]}}
  six:
    enable_ipv6: true
    ipam: {{config: [{{subnet: "fd5a:7::/64"}}]}}
  ula:
    enable_ipv6: true
  closed:
    internal: true
"""


@pytest.fixture(scope="module")
def net(session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    session_lab.all_active()
    with cluster_lab.stack(session_lab, "net", tmp_path_factory.mktemp("net"), TEXT) as this:
        this.runs("--wait")
        yield this
    assert_no_networks(this)


def assert_no_networks(stack: Stack) -> None:
    """Networks go with the last container that needs them, on every host."""
    label = f"label=com.docker.compose.project={stack.name}"
    none_at_all = not stack.lab.ask(lambda client: client.networks())

    def left() -> list[str]:
        found = []
        for host in stack.lab.hosts:
            if stack.lab.docker(host, "network", "ls", "-q", "--filter", label):
                found.append(f"{host} has a network")
            if none_at_all and "pdk" in stack.lab.ground.exec(host, ["ip", "-br", "link"]).stdout:
                found.append(f"{host} has a bridge or port of ours")
        return found

    until(lambda: not left(), f"nothing is left of {stack.name}'s networks")


def test_every_kind_of_name_from_every_host(net: Stack) -> None:
    echoes = net.running("echo")
    assert len({view.host for view in echoes}) == 3
    every = sorted(address(view, "net_default") for view in echoes)
    fixed = [address(net.one("fixed"), "net_default")]
    for view in echoes:
        known = {
            "echo": every, "al": every, "echo.net": every, "tasks.echo": every, "the-one": fixed, "fixed": fixed,
            "fixed.net": fixed, "ECHO": every, "friend": [], "near": [], "nowhere": [],
            **{other.name: [address(other, "net_default")] for other in echoes},
        }  # fmt: skip
        answers = ask(net.lab, view, *(("find", name) for name in known))
        assert dict(zip(known, answers, strict=True)) == known, view.host


def test_addresses_lead_to_names_and_to_the_container(net: Stack) -> None:
    views = [*net.running("echo"), net.one("fixed")]
    asker, *views = views  # its own address is in its /etc/hosts
    addresses = [address(view, "net_default") for view in views]
    reverse = ask(net.lab, asker, *(("reverse", one) for one in addresses))
    assert [str(name).split(".")[0] for name in reverse] == [view.name for view in views]
    who = ask(net.lab, asker, *(("who", one) for one in addresses))
    assert who == [net.lab.inspect(view)["Config"]["Hostname"] for view in views]


def test_ipv6_spans_the_hosts_too(net: Stack) -> None:
    views, asked = net.running("six"), net.one("asked6")
    assert len({view.host for view in views}) == 2
    found = {view.name: _six(net, view, "net_six") for view in (*views, asked)}
    assert found[asked.name] == "fd5a:7::77"
    assert all(ipaddress.IPv6Address(one) in ipaddress.IPv6Network("fd5a:7::/64") for one in found.values())
    assert ipaddress.IPv6Address(_six(net, asked, "net_ula")).is_private
    six = sorted(found[view.name] for view in views)
    for view in (*views, asked):
        others = [other for other in (*views, asked) if other.id != view.id]
        names = ask(net.lab, view, ("find6", "six"), *(("reverse", found[other.name]) for other in others))
        assert [names[0], *(str(name).split(".")[0] for name in names[1:])] == [six, *(one.name for one in others)]
        who = ask(net.lab, view, *(("who", found[other.name]) for other in others))
        assert who == [net.lab.inspect(other)["Config"]["Hostname"] for other in others]


def _six(stack: Stack, view: ContainerView, network: str) -> str:
    return str(stack.lab.inspect(view)["NetworkSettings"]["Networks"][network]["GlobalIPv6Address"])


def test_links_are_names_of_their_owner_only(net: Stack) -> None:
    every = sorted(address(view, "net_default") for view in net.running("echo"))
    assert ask(net.lab, net.one("fixed"), ("find", "friend")) == [every]


def test_full_packets_reach_other_hosts_whole(net: Stack) -> None:
    views = net.running("echo")
    answers = ask(net.lab, views[0], *(("full", address(view, "net_default")) for view in views[1:]))
    assert answers == [MTU - UDP_OVERHEAD] * 2


def test_addresses_as_asked_for(net: Stack) -> None:
    fixed, near = net.one("fixed"), net.one("near")
    assert address(fixed, "net_own") == "10.213.7.77"
    assert ipaddress.ip_address(address(near, "net_own")) in ipaddress.ip_network("10.213.0.0/16")
    assert ask(net.lab, near, ("find", "the-one"), ("who", "10.213.7.77")) == [["10.213.7.77"], "one"]
    engine = net.lab.inspect(fixed)["NetworkSettings"]["Networks"]["net_own"]
    assert engine["IPAddress"] == "10.213.7.77"


def test_internal_networks_lead_nowhere_else(net: Stack) -> None:
    inner, near = net.one("inner"), net.one("near")
    assert inner.host != near.host
    assert ask(net.lab, inner, ("find", "near"), ("find", "echo")) == [[address(near, "net_closed")], []]
    reached = ask(net.lab, inner, ("who", address(near, "net_closed")))
    assert reached == [net.lab.inspect(near)["Config"]["Hostname"]]
    server = net.lab.ground.address
    reach = f"import socket; socket.create_connection(({server!r}, 7443), timeout=2)"
    with pytest.raises(AssertionError, match=r"unreachable|timed out"):
        net.lab.inside(inner, "python3", "-c", reach)
    net.lab.inside(near, "python3", "-c", reach)


def test_other_stacks_are_kept_apart(net: Stack, tmp_path: Path) -> None:
    text = f"""
services:
  echo:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WHO)}]
    init: true
    stop_grace_period: 1s
"""
    with cluster_lab.stack(net.lab, "apart", tmp_path, text) as apart:
        apart.runs()
        alone = apart.one("echo")
        strangers = [address(view, "net_default") for view in net.running("echo")]
        known, *reached = ask(net.lab, alone, ("find", "echo"), *(("who", one) for one in strangers))
        assert known == [address(alone, "apart_default")]
        assert all(str(answer).startswith("!") for answer in reached), reached
        assert ask(net.lab, alone, ("find", "echo.net"), ("find", "the-one")) == [[], []]
    assert_no_networks(apart)


def test_only_ready_containers_are_named(net: Stack) -> None:
    views = net.running("echo")
    gone, asker = views[0], views[1]
    rest = sorted(address(view, "net_default") for view in views[1:])
    every = sorted(address(view, "net_default") for view in views)
    assert ask(net.lab, asker, ("find", "echo")) == [every]
    net.lab.docker(gone.host, "pause", gone.id)
    try:
        until(lambda: ask(net.lab, asker, ("find", "echo")) == [rest], "a paused one is not named", 15)
    finally:
        net.lab.docker(gone.host, "unpause", gone.id)
    until(lambda: ask(net.lab, asker, ("find", "echo")) == [every], "it is named again", 15)


def test_names_and_lines_outlive_the_server(net: Stack) -> None:
    every = sorted(address(view, "net_default") for view in net.running("echo"))
    views = net.running("echo")
    net.lab.end(None, "server")
    try:
        for view in views:
            assert ask(net.lab, view, ("find", "echo"), ("find", "the-one"))[0] == every
    finally:
        net.lab.revive(None)
        net.lab.all_active()


def test_subnets_and_blocks_clash_with_nothing(net: Stack) -> None:
    hosts = [ipaddress.ip_network(f"{one}/24", strict=False) for one in net.lab.addresses.values()]
    subnets = [ipaddress.ip_network(view.subnet) for view in net.lab.ask(lambda client: client.networks())]
    assert len(subnets) >= 3
    for index, one in enumerate(subnets):
        assert not any(one.overlaps(other) for other in [*hosts, *subnets[index + 1 :]])
    given = [ipaddress.ip_address(one) for view in net.running() for one in view.addresses.values()]
    assert len(set(given)) == len(given)
    for host in net.lab.hosts:
        own = ["pdk", "vxlan", "docker0", "veth"]
        for line in net.lab.ground.exec(host, ["ip", "-4", "-br", "address"]).stdout.splitlines():
            device, _, *found = line.split()
            nets = [ipaddress.ip_interface(text).network for text in found]
            if not device.startswith(tuple(own)):
                assert not any(one.overlaps(subnet) for one in nets for subnet in subnets), line
        for network in json.loads(net.lab.docker(host, "network", "inspect", "net_default")):
            (pool,) = network["IPAM"]["Config"]
            block = ipaddress.ip_network(pool["IPRange"])
            assert not any(one in block for one in given), "a host's own block is for containers started by others"


def test_names_of_the_outside_are_forwarded(lab: Lab, tmp_path: Path) -> None:
    """To the container's own resolver; here a small one on the machine that knows one name."""
    text = f"""
services:
  asker:
    image: python:3-slim
    command: ["sleep", "100000"]
    init: true
    dns: ["{lab.ground.address}"]
"""
    knows = textwrap.dedent("""
        import socket, sys
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.bind((sys.argv[1], 53))
        print("ready", flush=True)
        while True:
            query, who = line.recvfrom(4096)
            end = query.index(b"\\0", 12) + 5
            a = query[end - 4 : end - 2] == b"\\0\\1"
            answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + bytes([192, 0, 2, 33]) if a else b""
            head = query[:2] + b"\\x81\\x80\\0\\1" + bytes([0, int(a)]) + bytes(4)
            line.sendto(head + query[12:end] + answer, who)
    """)
    resolver = subprocess.Popen(
        ["python3", "-c", knows, lab.ground.address], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    try:
        assert resolver.stdout is not None
        assert resolver.stdout.readline() == "ready\n"
        with cluster_lab.stack(lab, "outside", tmp_path, text) as stack:
            stack.runs()
            view = stack.one("asker")
            assert ask(lab, view, ("find", "www.example.test"), ("find", "asker")) == [
                ["192.0.2.33"], [address(view, "outside_default")],
            ]  # fmt: skip
    finally:
        resolver.kill()
        resolver.communicate(timeout=5)


class TestPublishedPorts:
    TEXT = f"""
services:
  open:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WHO)}]
    init: true
    hostname: opened
    stop_grace_period: 1s
    ports:
      - "18000:8000"
      - "18001:8001/udp"
      - "18010-18011:8000-8001"
      - "127.0.0.1:18020:8000"
    deploy: {{placement: {{constraints: ["node.hostname == h2"]}}}}
"""

    def test_answer_as_written(self, lab: Lab, tmp_path: Path) -> None:
        here = lab.addresses["h2"]
        with cluster_lab.stack(lab, "ports", tmp_path, self.TEXT) as stack:
            stack.runs()
            until(lambda: said(here, 18000) == "opened", "TCP answers")
            assert said(here, 18010) == "opened"
            assert said(here, 18020) == "", "it is for the host itself only"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
                line.settimeout(3)
                line.sendto(b"hello", (here, 18001))
                assert line.recv(100) == b"hello"
            on_host = "import socket; print(socket.create_connection(('127.0.0.1', 18020), 3).recv(9).decode())"
            assert lab.ground.exec("h2", ["python3", "-c", on_host]).stdout.strip() == "opened"
            assert said(lab.addresses["h1"], 18000) == "", "published on the host that runs it"
            assert "18000->8000/tcp" in lab.done("ps", "ports")

    def test_a_clash_is_avoided_or_explained(self, lab: Lab, tmp_path: Path) -> None:
        text = f"services:\n  web:{SLEEP}    ports: ['18100:80']\n    deploy: {{replicas: 4}}\n"
        with cluster_lab.stack(lab, "clash", tmp_path, text) as stack:
            done = stack.up("-d", "--wait-timeout", "8")
            assert done.returncode == 1
            assert len({view.host for view in stack.running("web")}) == 3
            explained = lab.done("explain", "clash/web")
            assert "18100" in explained, explained


def said(address: str, port: int) -> str:
    try:
        with socket.create_connection((address, port), timeout=2) as line:
            return line.recv(100).decode()
    except OSError:
        return ""
