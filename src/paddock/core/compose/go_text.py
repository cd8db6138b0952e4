"""How Go reads and prints numbers and durations: what compose-go prints goes through these rules.

Sources: Go's strconv, fmt, time and encoding/json packages; docker/go-units for sizes.
"""

from __future__ import annotations

import math
import re
import struct

from .tree import Map, Seq, Timestamp, Value

_FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_HEX_FLOAT = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+(\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)[pP][+-]?\d+")
_NAMED_FLOAT = re.compile(r"[+-]?(inf|infinity|nan)", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d*)(?:\.(\d*))?([a-zµμ]+)")
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)*) ?([kKmMgGtTpP]?)[iI]?[bB]?")
_SIZE_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)


def parse_int(text: str) -> int:
    """strconv.Atoi. Raises ValueError."""
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'parsing "{text}": invalid syntax')
    number = int(text)
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError(f'parsing "{text}": value out of range')
    return number


def parse_float(text: str) -> float:
    """strconv.ParseFloat(text, 64). Raises ValueError."""
    if _FLOAT.fullmatch(text) or _NAMED_FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number) and _FLOAT.fullmatch(text):
            raise ValueError(f'parsing "{text}": value out of range')
        return number
    if _HEX_FLOAT.fullmatch(text):
        return float.fromhex(text)
    raise ValueError(f'parsing "{text}": invalid syntax')


def to_float32(number: float) -> float:
    """The nearest 32-bit float. Raises ValueError when out of range."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        raise ValueError(f"{number!r} does not fit a 32-bit float") from None


def _digits(number: float, bits: int) -> tuple[str, int]:
    """Shortest digits that read back as `number`, and the exponent of the first (d.ddd x 10^e)."""
    if bits == 32:
        for precision in range(9):
            text = f"{abs(number):.{precision}e}"
            if _is_float32(text, abs(number)):
                break
    else:
        text = repr(abs(number))
        if "e" not in text:
            text = _scientific(text)
    mantissa, exponent = text.split("e")
    digits = mantissa.replace(".", "").rstrip("0") or "0"
    return digits, int(exponent)


def _is_float32(text: str, number: float) -> bool:
    try:
        return to_float32(float(text)) == number
    except ValueError:  # rounded up past the largest
        return False


def _scientific(text: str) -> str:
    whole, _, fraction = text.partition(".")
    if whole.strip("0"):
        return f"{whole[0]}.{whole[1:]}{fraction}e{len(whole) - 1}"
    stripped = fraction.lstrip("0")
    if not stripped:
        return "0.0e0"
    return f"{stripped[0]}.{stripped[1:]}e{-(len(fraction) - len(stripped) + 1)}"


def format_float(number: float, *, bits: int = 64, low: int = -4, high: int = 6) -> str:
    """Plain digits while low <= exponent < high, else `d.ddde+XX`; the defaults are those of %v."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    sign = "-" if math.copysign(1.0, number) < 0 else ""
    digits, exponent = _digits(number, bits)
    if number == 0:
        return sign + "0"
    if exponent < low or exponent >= high:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def json_float(number: float) -> str:
    """encoding/json: exponents below -6 or from 21 on, without a leading zero in the exponent."""
    text = format_float(number, low=-6, high=21)
    return re.sub(r"e-0(\d)$", r"e-\1", text)


def sprint(value: Value) -> str:
    """fmt.Sprint."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return format_float(value)
        case str():
            return value
        case Timestamp():
            return value.text
        case Map():
            return "map[" + " ".join(f"{key}:{sprint(value[key])}" for key in sorted(value)) + "]"
        case Seq():
            return "[" + " ".join(sprint(item) for item in value) + "]"


def parse_duration(text: str) -> int:
    """time.ParseDuration, in nanoseconds. Raises ValueError."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    total, position = 0, 0
    while position < len(body):
        part = _DURATION_PART.match(body, position)
        if part is None:
            reason = "missing unit in" if re.fullmatch(r"[\d.]+", body[position:]) else "invalid"
            raise ValueError(f'{reason} duration "{text}"')
        whole, fraction, unit = part.group(1), part.group(2) or "", part.group(3)
        if not (whole or fraction):
            raise ValueError(f'invalid duration "{text}"')
        if unit not in _UNITS_NS:
            raise ValueError(f'unknown unit "{unit}" in duration "{text}"')
        total += int(whole or "0") * _UNITS_NS[unit]
        if fraction:
            total += int(fraction) * _UNITS_NS[unit] // 10 ** len(fraction)
        position = part.end()
    if not body or total > INT64_MAX:
        raise ValueError(f'invalid duration "{text}"')
    return -total if text.startswith("-") else total


def format_duration(ns: int) -> str:
    """time.Duration.String."""
    if ns == 0:
        return "0s"
    sign, rest = ("-", -ns) if ns < 0 else ("", ns)
    if rest < 1_000_000_000:
        unit = "ns" if rest < 1_000 else "µs" if rest < 1_000_000 else "ms"
        return f"{sign}{_fraction(rest, _UNITS_NS[unit])}{unit}"
    minutes, seconds_ns = divmod(rest, _UNITS_NS["m"])
    text = f"{_fraction(seconds_ns, _UNITS_NS['s'])}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
    return sign + text


def _fraction(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0")


def parse_bytes(text: str) -> int:
    """units.RAMInBytes: powers of 1024, `b`, `kb` and `kib` alike. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"invalid size: '{text}'")
    size = parse_float(found.group(1)) * _SIZE_UNITS[found.group(2).lower()]
    if math.isnan(size) or math.isinf(size) or size > INT64_MAX:
        return INT64_MIN
    return int(size)


_TRUE = frozenset({"true", "y", "yes", "on"})
_FALSE = frozenset({"false", "n", "no", "off"})


def parse_bool(text: str) -> bool:
    """compose-go's toBoolean. Raises ValueError."""
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(f"invalid boolean: {text}")


def flag(text: str) -> bool:
    """utils.StringToBool: anything unknown is false."""
    return text.strip().lower() in ("1", "t", "true")
