"""Turns values of one field into their canonical JSON: text, sizes, durations, mappings, commands, ...

Each decoder takes the value and where it stands, and answers JSON; None stands for what Go leaves unset.
The conversions allowed, and their silences, are those of compose-go's types and of mapstructure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from .go_text import (
    format_duration,
    format_float,
    parse_bool,
    parse_bytes,
    parse_duration,
    parse_float,
    parse_int,
    sprint,
    to_float32,
)
from .report import Report
from .shellwords import split
from .tree import Map, Path, Seq, Timestamp, Value, kind_name

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

EXTENSIONS = "#extensions"


class At:
    """Where a value stands, and where problems with it go."""

    def __init__(self, root: Map, report: Report, path: Path = ()) -> None:
        self.root = root
        self.report = report
        self.path = path

    def child(self, part: str | int) -> At:
        return At(self.root, self.report, (*self.path, part))

    def problem(self, message: str) -> None:
        self.report.add(message, path=self.path, root=self.root)

    def wrong(self, value: Value, wanted: str) -> None:
        self.problem(f"must be {wanted}, not {kind_name(value)}")


Decoder: TypeAlias = Callable[["Value", At], Json]


def text(value: Value, at: At) -> Json:
    match value:
        case None | str():
            return value
        case int() if not isinstance(value, bool):
            return str(value)
        case _:
            at.wrong(value, "a string")
            return None


def boolean(value: Value, at: At) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return parse_bool(value)
        except ValueError as error:
            at.problem(str(error))
            return None
    at.wrong(value, "a boolean")
    return None


def integer(value: Value, at: At) -> Json:
    if isinstance(value, str):
        try:
            return parse_int(value)
        except ValueError as error:
            at.problem(str(error))
            return None
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else int(value)
    at.wrong(value, "a number")
    return None


def unsigned(bits: int) -> Decoder:
    """A count of that many bits; as in Go, what does not fit wraps around."""

    def decode(value: Value, at: At) -> Json:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            at.wrong(value, "a number")
            return None
        if value < 0:
            at.problem(f"{sprint(value)} must not be negative")
            return None
        return int(value) % (1 << bits)

    return decode


def float32(value: Value, at: At) -> Json:
    try:
        if isinstance(value, str):
            value = parse_float(value)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _shortest(to_float32(value))
    except ValueError as error:
        at.problem(str(error))
        return None
    at.wrong(value, "a number")
    return None


def _shortest(number: float) -> int | float:
    """The number whose 64-bit text is the 32-bit text of `number`."""
    return plain_number(float(format_float(number, bits=32)))


def plain_number(number: float) -> int | float:
    return int(number) if number == number and abs(number) < 1e21 and number == int(number) else number


def size(value: Value, at: At) -> Json:
    """Bytes as text; nothing when zero."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        amount = value if isinstance(value, int) else parse_bytes(value)
    except ValueError as error:
        at.problem(str(error))
        return None
    return str(amount) if amount else None


def duration(value: Value, at: At) -> Json:
    if value is None:
        return None
    try:
        return format_duration(parse_duration(sprint(value)))
    except ValueError as error:
        at.report.add(f"time: {error}", path=at.path, root=at.root, hint="write it like 1m30s")
        return None


def some_duration(value: Value, at: At) -> Json:
    """As `duration`, but zero is nothing."""
    shown = duration(value, at)
    return None if shown == "0s" else shown


def texts(value: Value, at: At) -> Json:
    """[]string: numbers become text, nothing becomes empty text."""
    if value is None or (isinstance(value, Seq) and value.nil):
        return None
    if not isinstance(value, Seq):
        at.wrong(value, "a list")
        return None
    return [text(item, at.child(index)) or "" for index, item in enumerate(value)]


def text_list(value: Value, at: At) -> Json:
    """One string, or a list of nothing but strings."""
    if isinstance(value, str):
        return [value]
    if value is None:
        return None
    if not isinstance(value, Seq):
        at.wrong(value, "a string or a list of strings")
        return None
    for index, item in enumerate(value):
        if not isinstance(item, str):
            at.child(index).wrong(item, "a string")
    return [item for item in value if isinstance(item, str)]


def printed_list(value: Value, at: At) -> Json:
    if isinstance(value, Seq):
        return [sprint(item) for item in value]
    return text_list(value, at)


def command(value: Value, at: At) -> Json:
    """None means unset; an empty list means: clear what the image says."""
    if isinstance(value, str):
        try:
            return list(split(value))
        except ValueError as error:
            at.problem(f"{error}: a quote or parenthesis is left open")
            return None
    if isinstance(value, Seq):
        return [item for item in value if isinstance(item, str)]
    return None


def health_test(value: Value, at: At) -> Json:
    if isinstance(value, str):
        return ["CMD-SHELL", value]
    if isinstance(value, Seq):
        return [item for item in value if isinstance(item, str)]
    if value is not None:
        at.wrong(value, "a command or a list")
    return None


def split_extensions(value: Map) -> Map:
    """In plain mappings compose-go folds `x-` keys into one odd entry; it shows in what is printed."""
    extras = {key: item for key, item in value.items() if key.startswith("x-")}
    return value.without(*extras).with_item(EXTENSIONS, Map(extras)) if extras else value


def pairs(value: Value, at: At, *, bare: Json, lists: bool = True) -> Json:
    """A mapping of text; `bare` is the value of keys that have none."""
    if value is None:
        return None
    if isinstance(value, Map):
        plain = split_extensions(value)
        return {key: bare if plain[key] is None else sprint(plain[key]) for key in sorted(plain)}
    if not isinstance(value, Seq) or not lists:
        at.wrong(value, "a mapping or a list of KEY=value" if lists else "a mapping")
        return None
    found: dict[str, Json] = {}
    for item in value:
        key, equals, rest = sprint(item).partition("=")
        found[key] = rest if equals else bare
    return {key: found[key] for key in sorted(found)}


def labels(value: Value, at: At) -> Json:
    return pairs(value, at, bare="")


def variables(value: Value, at: At) -> Json:
    return pairs(value, at, bare=None)


def driver_options(value: Value, at: At) -> Json:
    return pairs(value, at, bare="", lists=False)


def text_map(value: Value, at: At) -> Json:
    """map[string]string: only text and whole numbers."""
    if value is None:
        return None
    if not isinstance(value, Map):
        at.wrong(value, "a mapping")
        return None
    plain = split_extensions(value)
    return {key: text(plain[key], at.child(key)) or "" for key in sorted(plain)}


def hosts(value: Value, at: At) -> Json:
    """Sorted `host=address` items."""
    found: dict[str, list[str]] = {}
    if value is None:
        return None
    if isinstance(value, Map):
        for key, item in split_extensions(value).items():
            found[key] = (
                [sprint(each) for each in item] if isinstance(item, Seq) else ["" if item is None else sprint(item)]
            )
    elif isinstance(value, Seq):
        for item in value:
            line = sprint(item)
            host, separator, addresses = line.partition("=" if "=" in line else ":")
            if not separator:
                at.problem(f"invalid additional host, missing IP: {line}")
                continue
            found.setdefault(host, []).extend(addresses.split(","))
    else:
        at.wrong(value, "a mapping or a list of host=address")
        return None
    for host in found:
        if not host or ":" in host or "=" in host:
            at.problem(f"bad host name {host!r}")
    return [*sorted(f"{host}={_unbracket(address)}" for host, addresses in found.items() for address in addresses)]


def _unbracket(address: str) -> str:
    return address[1:-1] if len(address) > 2 and address[0] == "[" and address[-1] == "]" else address


def cpus(value: Value, at: At) -> Json:
    """A share of processors; nothing when zero."""
    if isinstance(value, bool | Seq | Map | Timestamp):
        at.wrong(value, "a number")
        return None
    return float32(value, at) or None


def device_count(value: Value, at: At) -> Json:
    """A number, -1 for `all`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return -1 if value.lower() == "all" else parse_int(value)
        except ValueError:
            at.problem(f"invalid value {value!r}, the only value allowed is 'all' or a number")
            return None
    if value is not None:
        at.wrong(value, "`all` or a number")
    return None


def ulimit(value: Value, at: At) -> Json:
    if isinstance(value, int) and not isinstance(value, bool):
        return value or {}
    if not isinstance(value, Map):
        at.wrong(value, "a number, or soft and hard")
        return None
    limits: dict[str, Json] = {}
    for key in ("soft", "hard"):
        limit = value.get(key)
        if isinstance(limit, int) and not isinstance(limit, bool):
            if limit:
                limits[key] = limit
        elif key in value:
            at.child(key).wrong(limit, "a number")
    return limits


def ssh_keys(value: Value, at: At) -> Json:
    """`id`, or `id=path`. (2.26 cannot print a key that has a path; newer ones print it so.)"""
    if value is None:
        return None
    if not isinstance(value, Map):
        at.wrong(value, "a mapping or a list of ID=path")
        return None
    return [key if value[key] in (None, "") else f"{key}={sprint(value[key])}" for key in sorted(value)]


def anything(value: Value, _at: At) -> Json:
    """As written, for extensions and the options of providers."""
    return to_json(value)


def to_json(value: Value) -> Json:
    match value:
        case Timestamp():
            return value.json
        case Map():
            return {key: to_json(value[key]) for key in sorted(value)}
        case Seq():
            return None if value.nil else [to_json(item) for item in value]
        case float():
            return plain_number(value)
        case _:
            return value
