"""Names of images: which are taken, and which mean the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.core.images.reference import Reference, id_prefix, parse, tagged
from paddock.model.errors import UserError

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("busybox", Reference("busybox")),
        ("docker.io/library/busybox", Reference("busybox")),
        ("index.docker.io/library/busybox:1", Reference("busybox", "1")),
        ("docker.io/bitnami/redis", Reference("bitnami/redis")),
        ("library/busybox", Reference("library/busybox")),
        ("localhost:5000/a/b:1.2", Reference("localhost:5000/a/b", "1.2")),
        ("10.0.0.1:5000/a", Reference("10.0.0.1:5000/a")),
        ("[fd00::1]:5000/a:b", Reference("[fd00::1]:5000/a", "b")),
        (f"reg.example/a@{DIGEST}", Reference("reg.example/a", "", DIGEST)),
        (f"a:b@{DIGEST}", Reference("a", "b", DIGEST)),
        ("a__b/c.d-e---f:_X.y-", Reference("a__b/c.d-e---f", "_X.y-")),
    ],
)
def test_what_is_a_name(text: str, wanted: Reference) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "A", "a:", ":a", "a/", "/a", "a b", "a@b", "a:" + "x" * 129, "a//b", "a..b", "a@sha256:12", "a\n", "é"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(UserError, match="invalid reference format"):
        parse(text)


def test_names_that_mean_the_same_have_one_form() -> None:
    assert tagged("busybox") == tagged("docker.io/library/busybox:latest") == "busybox:latest"
    assert tagged("h:5000/a") == "h:5000/a:latest"
    assert tagged(f"a:b@{DIGEST}") == f"a@{DIGEST}"
    assert tagged(DIGEST) == DIGEST


def test_ids_and_their_beginnings() -> None:
    assert id_prefix(DIGEST) == "ab" * 32
    assert id_prefix("abcd") == "abcd"
    assert id_prefix("busybox") == ""


@given(st.text(max_size=40))
def test_the_one_form_is_stable(text: str) -> None:
    assert tagged(tagged(text)) == tagged(text)
