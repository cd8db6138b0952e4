"""Records what docker compose sends to the engine for every file in `cases/`, into `recorded/`.

    python tests/conformance/stack/record.py /path/to/docker.sock

Needs `docker` with the compose plugin and an engine that has the image `busybox`. The engine is real; a proxy in
between keeps the bodies of `POST /containers/create`. Nothing is started. Run it in CI never: its output is kept.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).parent
PROJECT = Path("/srv/shop")
ENVIRONMENT = {"NULL_SET": "from the shell", "TOKEN": "t0p-secret", "HOME": "/home/ada"}


class EngineConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Recorder(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, engine: str) -> None:
        super().__init__(path, Handler)
        self.engine = engine
        self.creates: dict[str, Any] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def forward(self) -> None:
        body = self._body()
        url = urlsplit(self.path)
        if self.command == "POST" and url.path.endswith("/containers/create"):
            self.server.creates[parse_qs(url.query)["name"][0]] = json.loads(body)
        engine = EngineConnection(self.server.engine)
        headers = {key: value for key, value in self.headers.items() if key.lower() != "transfer-encoding"}
        headers["Content-Length"] = str(len(body))
        engine.request(self.command, self.path, body, headers)
        answer = engine.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in {"transfer-encoding", "content-length", "connection"}:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        engine.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = forward


def compose(case: Path, host: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": host, "DOCKER_CONFIG": os.environ["DOCKER_CONFIG"]}
    return subprocess.run(
        ["docker", "compose", "-f", str(PROJECT / case.name), *arguments],
        env=environment | ENVIRONMENT, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def record(case: Path, engine: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(f"{folder}/docker.sock", engine)
        threading.Thread(target=recorder.serve_forever, daemon=True).start()
        host = f"unix://{folder}/docker.sock"
        model = compose(case, host, "config", "--format", "json")
        created = compose(case, host, "create", "--pull", "never")
        removed = compose(case, f"unix://{engine}", "down", "-v", "-t", "0")
        recorder.shutdown()
        recorder.server_close()
    if model.returncode or removed.returncode:
        print(f"{case.name}: FAILED {model.stderr}{removed.stderr}", file=sys.stderr)
        return
    answer = {
        "model": json.loads(model.stdout.replace("$$", "$")),
        "created": dict(sorted(recorder.creates.items())),
        "refused": created.stderr.strip().splitlines()[-1] if created.returncode else "",
    }
    (HERE / "recorded").mkdir(exist_ok=True)
    text = json.dumps(answer, indent=1, sort_keys=True, ensure_ascii=False)
    (HERE / "recorded" / f"{case.stem}.json").write_text(text + "\n")
    print(f"{case.name}: {len(recorder.creates)} containers {answer['refused']}", file=sys.stderr)


def main() -> None:
    PROJECT.mkdir(parents=True)
    try:
        shutil.copytree(HERE / "cases", PROJECT, dirs_exist_ok=True)
        for case in sorted((HERE / "cases").glob("*.yaml")):
            if len(sys.argv) < 3 or case.stem in sys.argv[2:]:
                record(case, sys.argv[1])
    finally:
        shutil.rmtree(PROJECT)


if __name__ == "__main__":
    main()
