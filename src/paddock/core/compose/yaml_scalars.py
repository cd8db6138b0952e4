"""What a plain YAML scalar means, as in go-yaml v3: YAML 1.2 booleans, but 1.1 octals and timestamps."""

from __future__ import annotations

import base64
import binascii
import datetime
import re

from .go_text import parse_float
from .tree import Timestamp, Value

STR, INT, FLOAT, BOOL, NULL = "!!str", "!!int", "!!float", "!!bool", "!!null"
TIMESTAMP, BINARY, MERGE = "!!timestamp", "!!binary", "!!merge"
_LONG_PREFIX = "tag:yaml.org,2002:"

_WORDS: dict[str, tuple[str, Value]] = {
    **dict.fromkeys(("true", "True", "TRUE"), (BOOL, True)),
    **dict.fromkeys(("false", "False", "FALSE"), (BOOL, False)),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), (NULL, None)),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), (FLOAT, float("nan"))),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), (FLOAT, float("inf"))),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), (FLOAT, float("-inf"))),
}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_TIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})([Tt ])(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)?"
)
_NUMBERS = (
    (re.compile(r"[+-]?0[xX][0-9a-fA-F]+"), 16),
    (re.compile(r"[+-]?0[bB][01]+"), 2),
    (re.compile(r"[+-]?0[oO][0-7]+"), 8),
    (re.compile(r"[+-]?0[0-7]*"), 8),
    (re.compile(r"[+-]?[1-9][0-9]*"), 10),
)


def short_tag(tag: str | None) -> str:
    if tag is None or tag == "!":
        return ""
    return "!!" + tag[len(_LONG_PREFIX) :] if tag.startswith(_LONG_PREFIX) else tag


def resolve(tag: str, text: str) -> tuple[str, Value]:
    """The tag and value of `text`. A tag of `` means: find out. Raises ValueError when the tag does not fit."""
    if tag == BINARY:
        try:
            return STR, base64.b64decode(text, validate=True).decode("utf-8", "replace")
        except binascii.Error:
            raise ValueError("!!binary value contains invalid base64 data") from None
    if tag == STR or tag not in ("", BOOL, INT, FLOAT, NULL, TIMESTAMP):
        return tag or STR, text
    found, value = _guess(tag, text)
    if tag == FLOAT and isinstance(value, int) and not isinstance(value, bool):
        return FLOAT, float(value)
    if tag not in ("", found):
        raise ValueError(f"cannot decode {found} `{text}` as a {tag}")
    return found, value


def _guess(tag: str, text: str) -> tuple[str, Value]:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        return (FLOAT, parse_float(text)) if _FLOAT.fullmatch(text) else (STR, text)
    if text[0] not in "+-0123456789":
        return STR, text
    if tag in ("", TIMESTAMP):
        moment = parse_timestamp(text)
        if moment:
            return TIMESTAMP, moment
    plain = text.replace("_", "")
    whole = parse_integer(plain)
    if whole is not None:
        return INT, whole
    if _FLOAT.fullmatch(plain):
        try:
            return FLOAT, parse_float(plain)
        except ValueError:
            return STR, text
    return STR, text


def parse_integer(plain: str) -> int | None:
    """strconv.ParseInt(plain, 0, 64), or ParseUint for what only fits there."""
    for pattern, base in _NUMBERS:
        if pattern.fullmatch(plain):
            sign = -1 if plain[0] == "-" else 1
            digits = plain.lstrip("+-")
            digits = digits[2:] if digits[1:2] and digits[1] in "xXbBoO" else digits
            number = sign * int(digits, base)
            fits = -(2**63) <= number < 2**63 or (number < 2**64 and plain[0] not in "+-")
            return number if fits else None
    return None


def parse_timestamp(text: str) -> Timestamp | None:
    day = _DATE.fullmatch(text)
    moment = None if day else _TIME.fullmatch(text)
    found = day or moment
    if not found:
        return None
    fraction, zone = "", ""
    clock = (0, 0, 0)
    if moment:
        separator, zone = moment.group(4), moment.group(9) or ""
        if bool(zone) == (separator == " "):
            return None
        clock = (int(moment.group(5)), int(moment.group(6)), int(moment.group(7)))
        fraction = (moment.group(8) or "").rstrip("0")
    try:
        when = datetime.datetime(int(found.group(1)), int(found.group(2)), int(found.group(3)), *clock)
    except ValueError:
        return None
    fraction = f".{fraction}" if fraction else ""
    utc = zone in ("", "Z", "+00:00", "-00:00")
    offset = "+0000 UTC" if utc else f"{zone.replace(':', '')} {zone.replace(':', '')}"
    return Timestamp(
        json=f"{when:%Y-%m-%dT%H:%M:%S}{fraction}{'Z' if utc else zone}",
        text=f"{when:%Y-%m-%d %H:%M:%S}{fraction} {offset}",
    )
