"""HTTP as some clients speak it and as none should, byte by byte against three hosts."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster_lab import Lab
from docker_client import Docker, Raw, missing
from waiting import until

pytestmark = [pytest.mark.engines, pytest.mark.skipif(bool(missing()), reason=missing())]

TCP = "Connection: Upgrade\nUpgrade: tcp\n"
H2C = "Connection: Upgrade\nUpgrade: h2c\n"
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HTTP2_SETTINGS = 4
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture
def busy(docker: Docker) -> str:
    return docker.done("run", "-d", "--name", "busy", "busybox", "sleep", "1000")


def exec_in(path: Path, container: str, *command: str, **options: object) -> str:
    with Raw(path) as raw:
        raw.request("POST", f"/containers/{container}/exec", {"Cmd": command, "AttachStdout": True, **options})
        status, made = raw.answer()
        assert status == 201, made
        return str(made["Id"])


# Connections that leave HTTP


def test_both_streams_are_framed(path: Path, busy: str) -> None:
    id = exec_in(path, busy, "sh", "-c", "echo out; sleep 0.2; echo err >&2", AttachStderr=True)
    with Raw(path) as raw:
        raw.request("POST", f"/exec/{id}/start", {"Detach": False, "Tty": False}, headers=TCP)
        assert raw.head()[0] == 101
        assert frames(raw.rest()) == [(1, b"out\n"), (2, b"err\n")]


def frames(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        kind, size = struct.unpack(">B3xI", data[:8])
        found.append((kind, data[8 : 8 + size]))
        data = data[8 + size :]
    return found


def test_a_terminal_is_not_framed(path: Path, busy: str) -> None:
    id = exec_in(path, busy, "echo", "out", Tty=True)
    with Raw(path) as raw:
        raw.request("POST", f"/exec/{id}/start", {"Detach": False, "Tty": True}, headers=TCP)
        assert raw.head()[0] == 101
        assert raw.rest() == b"out\r\n"


def test_the_end_of_output_is_heard_while_input_is_open(path: Path, busy: str) -> None:
    id = exec_in(path, busy, "echo", "over", AttachStdin=True)
    with Raw(path) as raw:
        raw.request("POST", f"/exec/{id}/start", {"Detach": False, "Tty": False}, headers=TCP)
        assert raw.head()[0] == 101
        assert frames(raw.rest()) == [(1, b"over\n")]


def test_output_goes_on_after_the_end_of_input(path: Path, busy: str) -> None:
    id = exec_in(path, busy, "sh", "-c", "cat; echo more; sleep 0.3; echo last", AttachStdin=True)
    with Raw(path) as raw:
        raw.request("POST", f"/exec/{id}/start", {"Detach": False, "Tty": False}, headers=TCP)
        assert raw.head()[0] == 101
        raw.send(b"in\n")
        raw.half_close()
        assert b"".join(data for _, data in frames(raw.rest())) == b"in\nmore\nlast\n"


def test_bytes_sent_right_behind_the_request_are_input(path: Path, busy: str) -> None:
    id = exec_in(path, busy, "wc", "-c", AttachStdin=True)
    body = json.dumps({"Detach": False, "Tty": False}).encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = f"POST /exec/{id}/start HTTP/1.1\r\nHost: x\r\n{kind}"
    with Raw(path) as raw:
        raw.send(head.encode() + b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + body + b"x" * 100_000)
        raw.half_close()
        assert raw.head()[0] == 101
        assert [data.strip() for _, data in frames(raw.rest())] == [b"100000"]


def test_attach_over_a_websocket(docker: Docker, path: Path) -> None:
    docker.done("run", "-d", "-i", "-t", "--name", "echoes", "busybox", "cat")
    key = base64.b64encode(b"sixteen bytes ok").decode()
    with Raw(path) as raw:
        raw.send(
            "GET /v1.41/containers/echoes/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\nHost: docker\n"
            "Connection: keep-alive, Upgrade\nUpgrade: websocket\nOrigin: http://docker\n"
            f"Sec-WebSocket-Version: 13\nSec-WebSocket-Key: {key}\n\n"
        )
        status, headers = raw.head()
        accepted = base64.b64encode(hashlib.sha1((key + WEBSOCKET_GUID).encode()).digest()).decode()
        assert (status, headers["upgrade"], headers["sec-websocket-accept"]) == (101, "websocket", accepted)
        raw.send(masked(b"hello\n"))
        raw.until(b"hello\r\n")
        docker.done("rm", "-f", "echoes")
        raw.rest()


def masked(text: bytes) -> bytes:
    mask = b"\x01\x02\x03\x04"
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(one ^ mask[at % 4] for at, one in enumerate(text))


def test_http2_over_grpc_and_sessions(lab: Lab, path: Path) -> None:
    with Raw(path) as raw:
        raw.request("POST", "/grpc", headers=H2C)
        status, headers = raw.head()
        assert (status, headers["upgrade"]) == (101, "h2c")
        raw.send(HTTP2_PREFACE + bytes([0, 0, 0, HTTP2_SETTINGS, 0, 0, 0, 0, 0]))
        assert exactly(raw, 4)[3] == HTTP2_SETTINGS
    with Raw(path) as raw:
        raw.request("POST", "/session", headers=H2C + "X-Docker-Expose-Session-Uuid: raw-test\n")
        assert raw.head()[0] == 101
        assert exactly(raw, len(HTTP2_PREFACE)) == HTTP2_PREFACE, "on a session, the engine asks"


def exactly(raw: Raw, number: int) -> bytes:
    data = b""
    while len(data) < number:
        more = raw.some()
        assert more, f"the connection ended after {data!r}"
        data += more
    return data[:number]


def test_a_stream_ends_with_its_client(lab: Lab, docker: Docker, path: Path, busy: str) -> None:
    """Nothing is ever said by that container: only the client's end can end it."""
    before = descriptors(lab)
    clients = [Raw(path) for _ in range(20)]
    for raw in clients:
        raw.request("POST", f"/containers/{busy}/attach?stream=1&stdout=1", headers=TCP)
        assert raw.head()[0] == 101
    assert descriptors(lab) >= before + 20
    for raw in clients:
        raw.socket.close()
    until(lambda: descriptors(lab) < before + 10, "the server let go of them")


def descriptors(lab: Lab) -> int:
    return len(list(Path(f"/proc/{lab.pid(None, 'server')}/fd").iterdir()))


# Bodies and connections


def test_pipelined_requests_are_answered_in_their_order(path: Path, busy: str) -> None:
    targets = ["/_ping", "/containers/none/json", f"/containers/{busy}/top", "/v1.41/volumes", "/containers/busy/top"]
    with Raw(path, timeout_s=30.0) as raw:
        raw.send("".join(f"GET {target} HTTP/1.1\nHost: x\n\n" for target in targets * 4))
        statuses = [whole(raw)[0] for _ in targets * 4]
        assert statuses == [200, 404, 200, 200, 200] * 4


def whole(raw: Raw) -> tuple[int, bytes]:
    """An answer of any framing."""
    status, headers = raw.head()
    if "content-length" in headers:
        return status, raw.body(headers)
    assert headers["transfer-encoding"] == "chunked"
    data = raw.until(b"0\r\n\r\n")
    raw.pending = data.partition(b"0\r\n\r\n")[2]
    return status, data


@pytest.mark.parametrize("target", ["/containers/busy/update", "/containers/none/exec"])
def test_chunked_bodies_cut_at_every_byte(path: Path, busy: str, target: str) -> None:
    """One that goes to the engine as it comes, and one that is read here."""
    body = b'{"Memory": 67108864, "MemorySwap": 67108864}'
    chunked = (
        b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\nX: y\r\n\r\n"
    )
    head = f"POST {target} HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    wanted = 200 if "busy" in target else 404
    with Raw(path) as raw:
        for at in range(1, len(chunked)):
            raw.send(head + chunked[:at])
            raw.send(chunked[at:])
            assert whole(raw)[0] == wanted, at
        for byte in head + chunked:
            raw.send(bytes([byte]))
        assert whole(raw)[0] == wanted


def test_who_waits_to_be_invited_is(path: Path, busy: str) -> None:
    for target, wanted in ((f"/containers/{busy}/update", 200), ("/containers/none/exec", 404)):
        with Raw(path) as raw:
            raw.send(
                f"POST {target} HTTP/1.1\nContent-Type: application/json\nContent-Length: 2\nExpect: 100-continue\n\n"
            )
            assert raw.head() == (100, {})
            raw.send(b"{}")
            assert whole(raw)[0] == wanted


def test_a_body_that_nobody_wants_is_not_invited(path: Path, lab: Lab) -> None:
    with Raw(path) as raw:
        raw.send("POST /v1.99/build HTTP/1.1\nContent-Length: 1000000000\nExpect: 100-continue\n\n")
        status, headers = raw.head()
        assert (status, headers["connection"]) == (400, "close")
        assert b"too new" in raw.rest()


@pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_a_body_without_end_is_refused_and_heard(path: Path, lab: Lab, framing: str) -> None:
    before = resident(lab)
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with Raw(path, timeout_s=30.0) as raw:
        raw.send(f"POST /containers/create HTTP/1.1\nContent-Type: application/json\n{framing}\n\n")
        assert not all(sent(raw, piece) for _ in range(10_000)), "600 MB were taken"
        assert raw.head()[0] == 413
    assert resident(lab) - before < 64 * 2**20


def sent(raw: Raw, data: bytes) -> bool:
    try:
        raw.send(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def resident(lab: Lab) -> int:
    return int(Path(f"/proc/{lab.pid(None, 'server')}/statm").read_text().split()[1]) * 4096


def test_streams_for_http_1_0_end_with_the_connection(path: Path, docker: Docker) -> None:
    docker.done("run", "--name", "spoke", "busybox", "echo", "said")
    for target in ("/containers/spoke/logs?stdout=1", "/events?since=1&until=2", "/containers/json?all=1"):
        with Raw(path) as raw:
            raw.send(f"GET {target} HTTP/1.0\n\n")
            status, headers = raw.head()
            assert (status, headers["connection"]) == (200, "close")
            assert "transfer-encoding" not in headers
            found = raw.rest()
        assert ("logs" not in target) or frames(found) == [(1, b"said\n")]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /_ping HTTP/1.1\nContent-Length: 1\nContent-Length: 2\n\n", 400),
        ("POST /build HTTP/1.1\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", 400),
        ("POST /build HTTP/1.1\nTransfer-Encoding: gzip, chunked\n\n", 400),
        ("POST /build HTTP/1.1\nContent-Length: -1\n\n", 400),
        ("POST /containers/none/exec HTTP/1.1\nTransfer-Encoding: chunked\n\nzz\n", 400),
        ("GET /_ping HTTP/1.1\nName : x\n\n", 400),
        ("GET /_ping HTTP/1.1\n folded: x\n\n", 400),
        ("GET /%00 HTTP/1.1\n\n", 400),
        ("GET /%ff HTTP/1.1\n\n", 400),
        ("CONNECT docker:80 HTTP/1.1\n\n", 400),
        ("GET /_ping HTTP/2.0\n\n", 505),
        ("GET /_ping HTTP/1.1\n" + "a: b\n" * 300 + "\n", 431),
        ("GET /" + "x" * 70_000 + " HTTP/1.1\n\n", 431),
    ],
)
def test_what_is_wrong_is_refused_and_over(lab: Lab, path: Path, head: str, status: int) -> None:
    with Raw(path) as raw:
        raw.send(head)
        found, headers = raw.head()
        assert (found, headers["connection"]) == (status, "close")
        assert b'"message"' in raw.rest()


HEADS = (
    b"GET /v1.41/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a%22%5D%7D HTTP/1.1\r\nHost: docker\r\n\r\n",
    b"POST /containers/none/attach?stream=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    b'POST /containers/create HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"Image": ""}',
    b"PUT /containers/none/archive?path=/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET /events?since=1&until=2 HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
)
EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), st.binary(max_size=6)), max_size=5)


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Some bytes left out, others put in."""
    for place, gone, new in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + gone :]
    return data


def test_whatever_is_sent_the_listener_lives(lab: Lab, path: Path) -> None:
    server = lab.pid(None, "server")

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.one_of(st.binary(max_size=300), st.builds(edited, st.sampled_from(HEADS), EDITS)))
    def send(data: bytes) -> None:
        with Raw(path) as raw:
            raw.send(data)
            raw.half_close()
            heard = raw.rest()
        assert not heard or heard.startswith(b"HTTP/1.1 ")

    send()
    with Raw(path) as raw:
        raw.request("GET", "/_ping")
        assert raw.answer() == (200, b"OK")
    assert lab.pid(None, "server") == server
