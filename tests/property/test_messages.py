"""Messages of agents: whatever arrives is a message or is refused as one error, and what is said is heard unchanged."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.errors import UserError
from paddock.model.objects import ContainerStatus, HostFacts, UnitId, UnitState
from paddock.model.reports import UnitReport
from paddock.wire.join_token import JoinToken, decode_token, encode_token
from paddock.wire.messages import Confirm, Facts, FromAgent, Heartbeat, Hello, Renew, Report, decode_from_agent, encode

texts = st.text(max_size=20)
whole = st.integers(0, 2**53)
facts = st.builds(HostFacts, address=texts, cpus=whole, memory_bytes=whole, subnets=st.lists(texts).map(tuple))
statuses = st.builds(ContainerStatus, role=texts, id=texts, name=texts, state=texts, exit_code=st.none() | whole)
reports = st.builds(
    UnitReport,
    unit=texts.map(UnitId),
    state=st.sampled_from(UnitState),
    healthy=st.booleans(),
    containers=st.lists(statuses, max_size=3).map(tuple),
    message=texts,
)
messages = st.one_of(
    st.builds(
        Hello, protocols=st.tuples(whole, whole), host=texts, instance=texts, agent_version=texts, facts=facts,
        assignment=whole, last_session=whole,
    ),
    st.builds(Heartbeat),
    st.builds(Confirm, assignment=whole),
    st.builds(Report, session=whole, number=whole, units=st.lists(reports, max_size=3).map(tuple)),
    st.builds(Facts, session=whole, facts=facts),
    st.builds(Renew, csr=texts),
)  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(messages)
def test_what_is_said_is_heard_unchanged(message: FromAgent) -> None:
    assert decode_from_agent(encode(message)) == message


@given(messages, st.data())
def test_a_message_cut_in_the_middle_is_refused(message: FromAgent, data: st.DataObject) -> None:
    whole_text = encode(message)
    cut = whole_text[: data.draw(st.integers(0, len(whole_text) - 1))]
    with pytest.raises(msgspec.DecodeError):
        decode_from_agent(cut)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_one_kind_of_error(data: bytes) -> None:
    heard_or_refused(data)


@given(st.sampled_from(["hello", "heartbeat", "confirm", "report", "facts", "other"]), st.dictionaries(texts, anything))
def test_any_document_is_a_message_or_one_kind_of_error(kind: str, fields: dict[str, object]) -> None:
    heard_or_refused(msgspec.json.encode({**fields, "type": kind}))


@given(messages, st.data())
def test_a_damaged_message_is_a_message_or_one_kind_of_error(message: FromAgent, data: st.DataObject) -> None:
    damaged = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    heard_or_refused(bytes(damaged))


def heard_or_refused(data: bytes) -> None:
    """The two classes that `Sessions` catches."""
    try:
        message = decode_from_agent(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert isinstance(message, FromAgent)


@given(texts, texts, texts)
def test_join_tokens_come_back_whole(server: str, ca: str, secret: str) -> None:
    token = JoinToken(server=server, ca=ca, secret=secret)
    assert decode_token(f" {encode_token(token)}\n") == token


@given(st.text(max_size=80) | st.text(max_size=80).map(lambda text: f"paddock-join.{text}"))
def test_what_is_no_join_token_is_said_to_be_none(text: str) -> None:
    with pytest.raises(UserError, match="token"):
        decode_token(text)
