"""What `.dockerignore` leaves out, which builder a Dockerfile wants, what a builder says."""

from __future__ import annotations

import base64

import pytest

from paddock.core.images.build_output import BuildOutput
from paddock.core.images.dockerfile import mounts_of_session, needs_buildkit
from paddock.core.images.ignore import Ignore, patterns_of


def left_out(text: str, path: str) -> bool:
    """As a walk from the top asks."""
    ignore = Ignore(patterns_of(text))
    out, above, parts = False, ignore.nothing, path.split("/")
    for depth in range(len(parts)):
        out, above = ignore.decide("/".join(parts[: depth + 1]), above)
    return out


@pytest.mark.parametrize(
    ("text", "path", "out"),
    [
        ("*.log", "a.log", True),
        ("*.log", "d/a.log", False),
        ("**/*.log", "a.log", True),
        ("**/*.log", "d/e/a.log", True),
        ("d", "d/e/f", True),
        ("/d/", "d/e", True),
        ("./d/../e", "e", True),
        ("d/**", "d/x/y", True),
        ("d/**", "d", False),
        ("?at", "cat", True),
        ("?at", "flat", False),
        ("[ch]at", "hat", True),
        ("[a-d]at", "cat", True),
        ("[^c]at", "cat", False),
        ("a.b", "axb", False),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("# a\na", "a", True),
        ("#a", "a", False),
        ("*\n!keep", "keep", False),
        ("*\n!keep", "other", True),
        ("d\n!d/keep", "d/keep", False),
        ("d\n!d/keep\nd/keep", "d/keep", True),
        ("!a\na", "a", True),
        ("", "a", False),
    ],
)
def test_patterns(text: str, path: str, out: bool) -> None:
    assert left_out(text, path) is out


def test_a_directory_that_is_left_out_is_looked_into_only_for_what_is_kept() -> None:
    ignore = Ignore(patterns_of("d\ne\n!d/keep/it"))
    assert ignore.may_keep_below("d")
    assert ignore.may_keep_below("d/keep")
    assert not ignore.may_keep_below("e")
    assert Ignore(patterns_of("e\n!**/it")).may_keep_below("e")


@pytest.mark.parametrize("text", ["!", "a[", "[b-a]"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Ignore(patterns_of(text))


@pytest.mark.parametrize(
    ("line", "buildkit"),
    [
        ("RUN make", False),
        ("RUN echo --mount=x > /f", False),
        ("RUN cat < file", False),
        ("COPY --from=a --chown=1 b c", False),
        ("# syntax=docker/dockerfile:1", False),
        ("RUN --mount=type=cache,target=/c make", True),
        ("run --network=none \\\n  make", True),
        ("RUN <<EOF", True),
        ("COPY <<-'END' /f", True),
        ("COPY --link a b", True),
        ("ADD --chmod=644 a b", True),
    ],
)
def test_which_builder_a_dockerfile_wants(line: str, buildkit: bool) -> None:
    assert bool(needs_buildkit(f"FROM a\n{line}\n")) is buildkit


def test_secrets_of_the_session_are_seen() -> None:
    assert mounts_of_session("FROM a\nRUN --mount=type=secret,id=k cat /k")
    assert mounts_of_session("FROM a\nRUN --mount=type=ssh git clone x")
    assert not mounts_of_session("FROM a\nRUN --mount=type=cache,target=/c make")


def test_the_classic_builders_words() -> None:
    output = BuildOutput()
    told: list[str] = []
    for message in (
        {"stream": "Step 1/2 : FROM a"}, {"stream": "\n"}, {"stream": " \x1b[91mred\x1b[0m\n\n"},
        {"status": "Pulling from library/a", "id": "latest"}, {"status": "Downloading", "id": "1"},
        {"aux": {"ID": "sha256:1"}}, {"aux": {"ID": "sha256:2"}},
    ):  # fmt: skip
        told += output.hear(message)
    assert told == ["Step 1/2 : FROM a", " red", "latest: Pulling from library/a"]
    assert (output.image, output.error) == ("sha256:2", "")
    list(output.hear({"errorDetail": {"code": 7, "message": "returned a non-zero code: 7"}, "error": "x"}))
    assert output.error == "returned a non-zero code: 7"


def field(number: int, value: bytes) -> bytes:
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def traced(*parts: bytes) -> dict[str, str]:
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(b"".join(parts)).decode()}


def test_buildkits_trace() -> None:
    output = BuildOutput()
    begun = field(1, b"sha256:a") + field(3, b"[1/2] RUN make") + field(5, b"\x08\x01")
    told = list(output.hear(traced(field(1, begun))))
    told += output.hear(traced(field(3, field(1, b"sha256:a") + field(4, b"one\ntw"))))
    told += output.hear(traced(field(3, field(1, b"sha256:a") + field(4, b"o\n"))))
    told += output.hear(traced(field(1, begun + field(6, b"\x08\x02"))))
    told += output.hear(traced(field(1, begun + field(6, b"\x08\x02"))))
    kept = field(1, b"sha256:b") + field(3, b"[2/2] COPY") + b"\x20\x01" + field(5, b"\x08\x01")
    told += output.hear(traced(field(1, kept)))
    assert told == ["#1 [1/2] RUN make", "#1 one", "#1 two", "#1 DONE", "#2 [2/2] COPY", "#2 CACHED"]
    list(output.hear({"id": "moby.image.id", "aux": {"ID": "sha256:c"}}))
    assert output.image == "sha256:c"
    assert list(output.hear({"id": "moby.buildkit.trace", "aux": "%%%"})) == []
    assert list(output.hear(traced(b"\x0a\x7f"))) == []
