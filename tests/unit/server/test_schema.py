"""The schema says what the contract in `wire.api` says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec

import paddock.wire.api as contract
from paddock.client.connection import Connections, pinned_tls
from serving import config_in, running_server

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def schema(tmp_path: Path) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with running_server(config_in(tmp_path)) as running:
            connections = Connections(running.address, pinned_tls(running.ca), "")
            data = await connections.call("GET", "/schema/openapi.json")
            await connections.close()
            found: dict[str, Any] = msgspec.json.decode(data)
            return found

    return asyncio.run(main())


def contracted() -> set[tuple[str, str]]:
    """(method, path) of every line of the contract's table, environments' paths in full."""
    found: set[tuple[str, str]] = set()
    below = ""
    for line in (contract.__doc__ or "").splitlines():
        if "under /v1/environments/{environment}" in line and line.startswith("    under"):
            below = "/v1/environments/{}"
        match = re.match(r"    (GET|POST|PUT|PATCH|DELETE)\s+(.*)", line)
        if match is None:
            continue
        text = re.split(r"->|\s{2,}", match[2])[0]
        for path in re.findall(r"(?<![\w}])/[\w{}./|-]*", text):
            for one in alternatives(below + path.split("?")[0]):
                found.add((match[1], one))
    return found


def alternatives(path: str) -> list[str]:
    plain = re.sub(r"\{\w*\}", "{}", path)
    head, bar, _ = plain.partition("|")
    if not bar:
        return [plain]
    start = head.rpartition("/")[0]
    return [f"{start}/{word}" for word in plain[len(start) + 1 :].split("|")]


def offered(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, operations in document["paths"].items()
        for method in operations
        if method.upper() in METHODS
    }


def test_every_route_of_the_contract_is_there_and_described(tmp_path: Path) -> None:
    document = schema(tmp_path)
    assert document["openapi"].startswith("3.1")
    there = offered(document)
    wanted = contracted()
    assert len(wanted) >= 30
    assert not wanted - there
    acts = ("scale", "restart", "stop", "start", "rollback", "pause", "resume")
    beside = {("POST", f"/v1/environments/{{}}/services/{{}}/{{}}/{act}") for act in acts}
    beside |= {("POST", "/v1/environments"), ("DELETE", "/v1/environments/{}"), ("DELETE", "/v1/volumes/{}")}
    beside |= {("POST", "/v1/api-keys"), ("DELETE", "/v1/api-keys/{}"), ("DELETE", "/v1/environments/{}/hosts/{}")}
    beside = {(method, path.replace("/v1/volumes", "/v1/environments/{}/volumes")) for method, path in beside}
    assert not beside - there


def test_the_schema_is_whole(tmp_path: Path) -> None:
    """Every reference leads somewhere, every path parameter is declared, every answer of the contract is described."""
    document = schema(tmp_path)
    components = document["components"]["schemas"]
    text = msgspec.json.encode(document).decode()
    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert name in components
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method.upper() not in METHODS:
                continue
            declared = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert set(re.findall(r"\{(\w+)\}", path)) <= declared, (method, path)
            assert operation["responses"], (method, path)
    for answer in ("HostView", "StackView", "ContainerView", "Applied", "Explanation", "Joined", "CreatedApiKey"):
        assert answer in components
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert "sealed" not in text
