"""The small languages inside compose files: templates, env files, commands, ports, mounts, sizes, durations."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.core.compose.dotenv import BadEnvFile, parse, parse_raw
from paddock.core.compose.go_text import (
    format_duration,
    format_float,
    json_float,
    parse_bytes,
    parse_duration,
    parse_float,
    to_float32,
)
from paddock.core.compose.mounts import clean, join, parse_mount, relative_to
from paddock.core.compose.ports import parse_port
from paddock.core.compose.shellwords import split
from paddock.core.compose.template import BadTemplate, MissingVariable, substitute
from paddock.core.compose.yaml_scalars import resolve

KNOWN = {"SET": "value", "EMPTY": ""}


def ignore(_: str) -> None:
    """Warnings are tested elsewhere."""


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${SET:-d}${EMPTY:-d}${NONE:-d}", "valuedd"),
        ("${SET-d}${EMPTY-d}${NONE-d}", "valued"),
        ("${SET:+a}${EMPTY:+a}${NONE:+a}", "a"),
        ("${SET+a}${EMPTY+a}${NONE+a}", "aa"),
        ("$$SET $$$SET", "$SET $value"),
        ("${NONE:-${EMPTY:-${SET}}}", "value"),
        ("no variables", "no variables"),
    ],
)
def test_operators(template: str, expected: str) -> None:
    assert substitute(template, KNOWN.get, ignore) == expected


def test_required_variables_and_bad_templates_raise() -> None:
    with pytest.raises(MissingVariable, match="required variable NONE is missing a value: why"):
        substitute("${NONE?why}", KNOWN.get, ignore)
    with pytest.raises(MissingVariable):
        substitute("${EMPTY:?}", KNOWN.get, ignore)
    with pytest.raises(BadTemplate):
        substitute("${", KNOWN.get, ignore)


@given(st.text(alphabet="${}:-?+AB x", max_size=40))
def test_any_template_ends_in_text_or_a_known_error(template: str) -> None:
    with contextlib.suppress(BadTemplate, MissingVariable):
        assert isinstance(substitute(template, KNOWN.get, ignore), str)


@given(st.text(alphabet="AB=\"'\\\n #$x{}:", max_size=60))
def test_any_env_file_ends_in_variables_or_a_problem_with_a_line(text: str) -> None:
    line = 0
    try:
        parse(text, KNOWN.get, ignore)
    except BadEnvFile as error:
        line = error.line
    assert 0 <= line <= text.count("\n") + 1


def test_env_files() -> None:
    text = "A=1\nexport B='$A'\nC=\"$A\\n\"\nD=x # c\nSET\nNOT_SET\nE: y\n"
    assert parse(text, KNOWN.get, ignore) == {"A": "1", "B": "$A", "C": "1\n", "D": "x", "SET": "value", "E": "y"}
    assert parse_raw("A='1'\n# c\nB=$A #x\n") == {"A": "'1'", "B": "$A #x"}


@given(st.lists(st.text(alphabet="abc123./-_=", min_size=1, max_size=8), max_size=5))
def test_plain_words_split_at_spaces(words: list[str]) -> None:
    assert split(" ".join(words)) == words


@given(st.lists(st.text(alphabet='ab \\;|&"$`(', max_size=6), max_size=4))
def test_words_in_single_quotes_are_left_alone(words: list[str]) -> None:
    assert split(" ".join(f"'{word}'" for word in words)) == words


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_a_duration_reads_back(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reads_back(number: float) -> None:
    assert parse_float(format_float(number)) == number
    assert float(json_float(number)) == number


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_short_float_reads_back(number: float) -> None:
    assert to_float32(float(format_float(number, bits=32))) == number


@pytest.mark.parametrize(
    ("text", "amount"), [("1", 1), ("1k", 1024), ("1.5kb", 1536), ("2 MiB", 2 << 20), ("1G", 1 << 30), ("3b", 3)]
)
def test_sizes(text: str, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "k", "-1", "1x", "1e3", "1.2.3", " 1"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        parse_bytes(text)


@given(st.integers(1, 65000), st.integers(0, 20), st.sampled_from(["tcp", "udp", "sctp"]))
def test_a_range_of_ports_is_one_entry_each(start: int, extra: int, protocol: str) -> None:
    entries = parse_port(f"{start}-{start + extra}:{start}-{start + extra}/{protocol}")
    assert len(entries) == extra + 1
    assert all(entry["published"] == str(entry["target"]) and entry["protocol"] == protocol for entry in entries)


def test_mounts() -> None:
    assert parse_mount("./a:/b/../c:ro,z") == {
        "type": "bind",
        "source": "./a",
        "target": "/c",
        "read_only": True,
        "bind": {"selinux": "z", "create_host_path": True},
    }
    assert parse_mount("data:/d") == {"type": "volume", "source": "data", "target": "/d", "volume": {}}
    assert parse_mount("C:\\a:/b")["type"] == "bind"


@given(
    st.lists(st.sampled_from(["a", "b", "..", "."]), max_size=6), st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)
)
def test_a_relative_path_leads_back(path: list[str], base: list[str]) -> None:
    target, start = clean("/" + "/".join(path)), clean("/" + "/".join(base))
    assert join(start, relative_to(start, target)) == target


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("True", True),
        ("0777", 511),
        ("0o17", 15),
        ("1:30", "1:30"),
        ("08", 8.0),
        ("~", None),
        ("1_0", 10),
    ],
)
def test_yaml_scalars_are_those_of_version_1_2(text: str, value: object) -> None:
    found = resolve("", text)[1]
    assert found == value
    assert type(found) is type(value)
