"""Several hosts' images as if they were one engine's; and what a build's context says it begins from."""

from __future__ import annotations

import gzip
import io
import tarfile
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.gateway.call import Call
from paddock.gateway.context import Context
from paddock.gateway.head import parse_request
from paddock.gateway.images import merged_images, names_told_apart, without_doubles
from paddock.model.objects import EnvironmentId, Host

HOST = Host(id="host-1", environment=EnvironmentId("env-1"), name="h1", since_s=0.0)


def entry(id: str, *tags: str, created: int = 1, containers: int = -1) -> dict[str, Any]:
    return {"Id": id, "RepoTags": list(tags), "RepoDigests": [], "Created": created, "Containers": containers}


def test_one_image_on_two_hosts_is_one_with_all_its_names() -> None:
    merged = merged_images([
        [entry("a", "x:1", containers=1), entry("b", "<none>:<none>", created=5)],
        [entry("a", "x:1", "y:2", containers=2)],
        [entry("b", "z:1", created=5)],
    ])  # fmt: skip
    assert [(image["Id"], image["RepoTags"]) for image in merged] == [("b", ["z:1"]), ("a", ["x:1", "y:2"])]
    assert merged[1]["Containers"] == 3


def test_an_image_without_names_anywhere_stays_without() -> None:
    (image,) = merged_images([[entry("a", "<none>:<none>")], [entry("a", "<none>:<none>")]])
    assert image["RepoTags"] == ["<none>:<none>"]


def test_a_name_of_two_images_is_shown_once() -> None:
    told = names_told_apart([entry("old", "x:1", "kept:1"), entry("new", "x:1")], {"x:1": "new"}.get)
    assert [image["RepoTags"] for image in told] == [["kept:1"], ["x:1"]]


def test_what_hosts_removed_is_said_once() -> None:
    lines = [[{"Untagged": "x:1"}, {"Deleted": "a"}], None, [{"Untagged": "x:1"}, {"Deleted": "a"}]]
    assert without_doubles(lines) == [{"Untagged": "x:1"}, {"Deleted": "a"}]


def context_of(target: str) -> Context:
    head = parse_request(f"POST {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return Context(cast(Call, SimpleNamespace(head=head)), HOST)


def archive(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1.5
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@given(st.lists(st.integers(1, 5000), max_size=30), st.booleans(), st.sampled_from(["Dockerfile", "./Dockerfile"]))
def test_the_dockerfile_is_overheard_however_it_comes(sizes: list[int], packed: bool, name: str) -> None:
    files = {"a/big": b"x" * 9000, name: b"ARG V\nFROM base:$V\n", "sub/Dockerfile": b"FROM other", "z": b"y"}
    data = gzip.compress(archive(files)) if packed else archive(files)
    context = context_of("/build?buildargs=%7B%22V%22%3A%222%22%7D&t=x")
    for size in sizes:
        context.feed(data[:size])
        data = data[size:]
    context.feed(data)
    assert context.images() == ("base:2",)


def test_another_dockerfile_is_found_by_its_path() -> None:
    context = context_of("/build?dockerfile=sub%2F.%2FDockerfile")
    context.feed(archive({"Dockerfile": b"FROM one", "sub/Dockerfile": b"FROM other"}))
    assert context.images() == ("other",)


@pytest.mark.parametrize(
    "data",
    [b"", b"no tar at all" * 100, gzip.compress(b"x", mtime=0)[:-3], b"\x1f\x8bno gzip"],
    ids=["nothing", "no tar", "cut short", "no gzip"],
)
def test_what_is_no_context_begins_from_nothing(data: bytes) -> None:
    context = context_of("/build?buildargs=nonsense")
    context.feed(data)
    assert context.images() == ()


def test_a_dockerfile_without_an_end_is_let_go() -> None:
    info = tarfile.TarInfo("Dockerfile")
    info.size = 2**33
    context = context_of("/build")
    context.feed(info.tobuf())
    for _ in range(40):
        context.feed(b"FROM x\n" * 10_000)
    assert context.images() == ()
    assert context.held_bytes == 0
