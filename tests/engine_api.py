"""What tests ask of a host's own engine, over its socket: no docker command is needed."""

from __future__ import annotations

import json
from pathlib import Path

from paddock.playground import engine


def call(socket: Path, method: str, path: str, body: object = None) -> object:
    """The answer's JSON, None if it has no body. Raises UserError from status 400 on."""
    data = json.dumps(body).encode() if body is not None else None
    answer = engine.ask(socket, method, path, data)
    return json.loads(answer) if answer.strip() else None


def start(socket: Path, name: str, image: str, command: list[str], **options: object) -> None:
    """`docker run -d --name NAME IMAGE COMMAND`; options are keys of the create request."""
    call(socket, "POST", f"/containers/create?name={name}", {"Image": image, "Cmd": command, **options})
    call(socket, "POST", f"/containers/{name}/start")


def remove(socket: Path, name: str) -> None:
    call(socket, "DELETE", f"/containers/{name}?force=1&v=1")


def inspect(socket: Path, name: str) -> dict[str, object]:
    found = call(socket, "GET", f"/containers/{name}/json")
    assert isinstance(found, dict)
    return found


def state(socket: Path, name: str) -> dict[str, object]:
    found = inspect(socket, name)["State"]
    assert isinstance(found, dict)
    return found


def run(socket: Path, image: str, command: list[str], **options: object) -> tuple[int, str]:
    """`docker run --rm`: exit code and output."""
    created = call(socket, "POST", "/containers/create", {"Image": image, "Cmd": command, "Tty": True, **options})
    assert isinstance(created, dict)
    name = str(created["Id"])
    try:
        call(socket, "POST", f"/containers/{name}/start")
        ended = call(socket, "POST", f"/containers/{name}/wait")
        assert isinstance(ended, dict)
        output = engine.ask(socket, "GET", f"/containers/{name}/logs?stdout=1&stderr=1").decode()
        return int(ended["StatusCode"]), output.replace("\r\n", "\n")
    finally:
        remove(socket, name)
