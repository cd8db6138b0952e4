"""A directory becomes a build's context: what is in the tar, and what is not."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from paddock.cli.build_context import context_of, for_buildkit, tar_pieces
from paddock.core.stack.builds import Build
from paddock.model.errors import UserError


def build(folder: Path, dockerfile: str = "Dockerfile", inline: str | None = None) -> Build:
    return Build(service="web", image="web", context=str(folder), dockerfile=dockerfile, inline=inline)


def packed(given: Build) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(tar_pieces(context_of(given)))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    for name in ("Dockerfile", "a.txt", "x.log", "deep/no/a", "deep/keep/ü-yes", "build/Dockerfile"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"FROM scratch\n# {name}\n")
    return root


def test_files_links_and_owners(folder: Path) -> None:
    (folder / "a.txt").chmod(0o750)
    (folder / "link").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    entries = {entry.name: entry for entry in packed(build(folder)).getmembers()}
    assert "socket" not in entries
    assert (entries["a.txt"].mode, entries["a.txt"].uid, entries["a.txt"].uname) == (0o750, 0, "")
    assert entries["a.txt"].mtime == int((folder / "a.txt").stat().st_mtime)
    assert (entries["link"].issym(), entries["link"].linkname) == (True, "nowhere")
    assert entries["pipe"].isfifo()
    assert "deep/keep/ü-yes" in entries


def test_what_is_ignored_but_never_what_the_builder_needs(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*.log\ndeep\n!deep/keep\nDockerfile\n.dockerignore\nbuild\n")
    names = packed(build(folder)).getnames()
    assert sorted(names) == [".dockerignore", "Dockerfile", "a.txt", "deep/keep", "deep/keep/ü-yes"]
    assert "build/Dockerfile" in packed(build(folder, "build/Dockerfile")).getnames()


def test_a_dockerfile_with_its_own_list(folder: Path) -> None:
    (folder / ".dockerignore").write_text("a.txt\n")
    (folder / "build/Dockerfile.dockerignore").write_text("x.log\n")
    names = packed(build(folder, "build/Dockerfile")).getnames()
    assert "a.txt" in names
    assert "x.log" not in names


@pytest.mark.parametrize("how", ["outside", "absolute", "inline"])
def test_a_dockerfile_that_is_not_in_the_context(folder: Path, how: str) -> None:
    other = folder.parent / "Other"
    other.write_text("FROM other\n")
    (folder / ".dockerignore").write_text("*.log")
    given = {
        "outside": build(folder, "../Other"), "absolute": build(folder, str(other)),
        "inline": build(folder, inline="FROM other\n"),
    }[how]  # fmt: skip
    context = context_of(given)
    with packed(given) as archive:
        file = archive.extractfile(context.dockerfile)
        assert file is not None
        assert file.read() == b"FROM other\n"
        ignored = archive.extractfile(".dockerignore")
        assert ignored is not None
        assert ignored.read().decode() == f"*.log\n{context.dockerfile}\n"
        assert archive.getnames().count(".dockerignore") == 1
    assert b".dockerignore" in b"".join(tar_pieces(for_buildkit(context)))
    assert list(for_buildkit(context).added) == [context.dockerfile]


def test_what_cannot_be_read_is_said(folder: Path) -> None:
    for given, words in (
        (build(folder, "Nope"), "Nope cannot be read"), (build(folder / "none"), "is not a directory"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            context_of(given)
    (folder / ".dockerignore").write_text("a[\n")
    with pytest.raises(UserError, match=r"\.dockerignore"):
        context_of(build(folder))
