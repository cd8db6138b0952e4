"""Which images a Dockerfile begins from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.core.images.dockerfile import base_images


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("FROM busybox\nRUN x", ("busybox",)),
        ("# FROM a\n\n  from b:1 as Build\nFROM build\nFROM c@sha256:12", ("b:1", "c@sha256:12")),
        ("FROM scratch", ()),
        ("ARG V=1\nFROM a:$V\nFROM b:${V}-x\nFROM c:${W:-9}", ("a:1", "b:1-x", "c:9")),
        ("ARG V=1\nARG B=base:${V}\nFROM $B", ("base:1",)),
        ("ARG G=1\nFROM a:$G", ("a:given",)),
        ("FROM --platform=linux/amd64 \\\n  a:1 \\\n  AS x\nCOPY --from=x /a /b", ("a:1",)),
        ("FROM a AS x\nFROM b\nCOPY --from=tool:2 /a /b\nCOPY --from=0 /a /b", ("a", "b", "tool:2")),
        ("FROM a\nARG V=2\nFROM b:$V", ("a", "b:")),
        ("FROM", ()),
    ],
)
def test_base_images(text: str, wanted: tuple[str, ...]) -> None:
    assert base_images(text, {"G": "given"}) == wanted


@given(st.text("FROM arg$={}:-\n\\#", max_size=60))
def test_any_text_is_read(text: str) -> None:
    base_images(text, {})
