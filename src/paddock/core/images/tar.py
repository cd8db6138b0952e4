"""Tar archives on their way: entries are left out, the rest passes byte for byte, and nothing is held but a header."""

from __future__ import annotations

from collections.abc import Callable

from paddock.model.errors import Refused

BLOCK = 512
MOST_EXTENSION_BYTES = 2**20
_EXTENDS = (b"x", b"L", b"K")
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
_REGULAR = (b"0", b"\0", b"7")
_NOTHING = bytes(BLOCK)
LeaveOut = Callable[[str, bool], bool]
"""Whether the entry of that path is left out; the second says whether it is a file."""


class BadArchive(Refused):
    """The tar cannot be followed."""

    code = "bad_archive"


class TarFilter:
    """Bytes in as they come, bytes out. `done` after the archive's end."""

    def __init__(self, leave_out: LeaveOut) -> None:
        self._leave_out = leave_out
        self._pending = b""
        self._extensions = b""
        self._extension: tuple[bytes, int] | None = None
        self._path = ""
        self._size: int | None = None
        self._left = 0
        self._keeps = True
        self._zeros = 0

    @property
    def done(self) -> bool:
        return self._zeros >= 2

    def feed(self, data: bytes) -> bytes:
        """Raises `BadArchive`."""
        data = self._pending + data if self._pending else data
        out: list[bytes] = []
        at = 0
        while at < len(data):
            if self.done:
                out.append(data[at:])
                at = len(data)
            elif self._left:
                count = min(self._left, len(data) - at)
                if self._keeps:
                    out.append(data[at : at + count])
                self._left -= count
                at += count
            elif (used := self._header(data, at, out)) == 0:
                break
            else:
                at += used
        self._pending = data[at:]
        return b"".join(out)

    def _header(self, data: bytes, at: int, out: list[bytes]) -> int:
        """-> bytes used; 0 when there are not enough yet."""
        block = data[at : at + BLOCK]
        if len(block) < BLOCK:
            return 0
        if block == _NOTHING:
            self._zeros += 1
            out.append(block)
            return BLOCK
        if self._zeros:
            raise BadArchive("the archive goes on behind its end")
        kind, size = block[156:157], _number(block[124:136])
        if kind in _EXTENDS:
            return self._extend(data, at, kind, size)
        path = self._path or _path(block)
        size = size if self._size is None else self._size
        self._keeps = not self._leave_out(path, kind in _REGULAR)
        if self._keeps:
            out += (self._extensions, block)
        self._left = 0 if kind in _WITHOUT_CONTENT else -(-size // BLOCK) * BLOCK
        self._extensions, self._path, self._size = b"", "", None
        return BLOCK

    def _extend(self, data: bytes, at: int, kind: bytes, size: int) -> int:
        """A header about the next entry: kept with it, or left out with it."""
        whole = BLOCK + -(-size // BLOCK) * BLOCK
        if len(self._extensions) + whole > MOST_EXTENSION_BYTES:
            raise BadArchive("a header of the archive is too large")
        if len(data) - at < whole:
            return 0
        self._extensions += data[at : at + whole]
        content = data[at + BLOCK : at + BLOCK + size]
        if kind == b"x":
            self._extended(content)
        elif kind == b"L":
            self._path = content.rstrip(b"\0").decode("utf-8", "replace")
        return whole

    def _extended(self, records: bytes) -> None:
        """PAX: LENGTH KEY=VALUE, one after the other."""
        while records:
            length = records.partition(b" ")[0]
            if not length.isdigit() or not len(length) < int(length) <= len(records):
                raise BadArchive("an extended header of the archive cannot be read")
            key, _, value = records[len(length) + 1 : int(length) - 1].partition(b"=")
            if key == b"path":
                self._path = value.decode("utf-8", "replace")
            elif key == b"size":
                if not value.isdigit():
                    raise BadArchive("a size in the archive cannot be read")
                self._size = int(value)
            records = records[int(length) :]


def _path(block: bytes) -> str:
    name = block[:100].split(b"\0", 1)[0].decode("utf-8", "replace")
    prefix = block[345:500].split(b"\0", 1)[0].decode("utf-8", "replace") if block[257:262] == b"ustar" else ""
    return f"{prefix}/{name}" if prefix and block[263:265] == b"00" else name


def _number(field: bytes) -> int:
    """Octal, or base 256 when the first bit is set (GNU)."""
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    digits = field.strip(b" \0")
    if any(digit not in b"01234567" for digit in digits):
        raise BadArchive("a size in the archive cannot be read")
    return int(digits or b"0", 8)
