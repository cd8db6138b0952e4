"""Which shared libraries a program asks for: the dynamic section of 64-bit little-endian ELF (System V gABI, 5)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5


def needed(data: bytes) -> tuple[str, ...]:
    """Names of the libraries and, first, the path of the loader. () for anything that is not such a file."""
    if data[:6] != b"\x7fELF\x02\x01":
        return ()
    segments = tuple(_segments(data))
    names = [_text(data, offset) for kind, offset, _, _ in segments if kind == PT_INTERP]
    for kind, offset, _, size in segments:
        if kind == PT_DYNAMIC:
            tags = tuple(_tags(data, offset, size))
            strings = next(_offset(segments, value) for tag, value in tags if tag == DT_STRTAB)
            names += [_text(data, strings + value) for tag, value in tags if tag == DT_NEEDED]
    return tuple(names)


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Kind, place in the file, place in memory, size in the file."""
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, offset, address, _, in_file = struct.unpack_from("<IIQQQQ", data, table + index * size)
        yield kind, offset, address, in_file


def _tags(data: bytes, offset: int, size: int) -> Iterator[tuple[int, int]]:
    for tag, value in struct.iter_unpack("<qQ", data[offset : offset + size]):
        if tag == DT_NULL:
            return
        yield tag, value


def _offset(segments: tuple[tuple[int, int, int, int], ...], address: int) -> int:
    for kind, offset, start, size in segments:
        if kind == PT_LOAD and start <= address < start + size:
            return address - start + offset
    raise ValueError(f"no segment holds address {address:#x}")


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
