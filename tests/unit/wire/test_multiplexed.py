"""The engine's stream framing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.errors import Broken
from paddock.wire.multiplexed import STDERR, STDOUT, Demultiplexer, frame

frames = st.lists(st.tuples(st.sampled_from((STDOUT, STDERR)), st.binary(max_size=50)), max_size=8)


@given(frames, st.lists(st.integers(min_value=1, max_value=30), max_size=40))
def test_frames_survive_any_cut(wanted: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(stream, content) for stream, content in wanted)
    demultiplexer = Demultiplexer()
    found: dict[int, bytes] = {STDOUT: b"", STDERR: b""}
    for size in [*cuts, len(data) + 1]:
        piece, data = data[:size], data[size:]
        for stream, content in demultiplexer.feed(piece):
            found[stream] += content
    assert demultiplexer.between_frames
    for stream in (STDOUT, STDERR):
        assert found[stream] == b"".join(content for of, content in wanted if of == stream)


def test_a_cut_frame_shows() -> None:
    demultiplexer = Demultiplexer()
    demultiplexer.feed(frame(STDOUT, b"hello")[:-1])
    assert not demultiplexer.between_frames


def test_a_terminals_stream_is_not_taken_for_frames() -> None:
    with pytest.raises(Broken, match="not a multiplexed stream"):
        Demultiplexer().feed(b"hello, terminal")
