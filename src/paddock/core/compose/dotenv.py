"""`.env`, `env_file` and `label_file` text -> variables, as compose-go's dotenv package reads them."""

from __future__ import annotations

import re

from .template import BadTemplate, Lookup, MissingVariable, Warn, substitute

_SPACES = "\t\v\f\r \x85\xa0"
_ESCAPE = re.compile(r'\\(?:[abcfnrtv$"\\]|0\d{0,3})')
_EXPORT = re.compile(r"export\s+")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


class BadEnvFile(Exception):
    """`line` is where in the text, counted from 1; 0 when unknown."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def parse(text: str, lookup: Lookup, warn: Warn) -> dict[str, str]:
    """Variables in order. `lookup` wins over values set earlier in the text. Raises BadEnvFile."""
    return _Parser(text.removeprefix("\ufeff"), lookup, warn).run()


def parse_raw(text: str) -> dict[str, str]:
    """`format: raw`: `KEY=VALUE` lines as they stand, no quotes, no expansion; `#` lines and blank ones are skipped."""
    found = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        stripped = line.lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = stripped.partition("=")
        if any(char.isspace() for char in key):
            raise BadEnvFile(f"variable {key!r} contains whitespaces", number)
        if equals:
            found[key] = value
    return found


class _Parser:
    def __init__(self, text: str, lookup: Lookup, warn: Warn) -> None:
        self.text = text
        self.at = 0
        self.lookup = lookup
        self.warn = warn
        self.found: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        while self._next_statement():
            key, inherited = self._key()
            if " " in key:
                raise BadEnvFile("key cannot contain a space", self._line())
            if inherited:
                value = self.lookup(key)
                if value is not None:
                    self.found[key] = value
                continue
            self.found[key] = self._value()
        return self.found

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _next_statement(self) -> bool:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char.isspace():
                self.at += 1
            elif char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return True
        return False

    def _key(self) -> tuple[str, bool]:
        if _EXPORT.match(self.text, self.at):
            self.at += len("export")
            self._skip_spaces()
        for index in range(self.at, len(self.text)):
            char = self.text[index]
            if char in "=:\n":
                key = self.text[self.at : index].rstrip()
                self.at = index + 1
                self._skip_spaces()
                return key, char == "\n"
            if not (char in _SPACES or char in "_.-[]" or char.isalpha() or char.isnumeric()):
                name = self.text[self.at :].split("\n")[0]
                raise BadEnvFile(f"unexpected character {char!r} in variable name {name!r}", self._line())
        if self.at >= len(self.text):
            raise BadEnvFile("zero length string", self._line())
        self._skip_spaces()
        return "", False

    def _skip_spaces(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in _SPACES:
            self.at += 1

    def _value(self) -> str:
        if self.text[self.at : self.at + 1] in ("'", '"'):
            return self._quoted(self.text[self.at])
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        line = self.text[self.at : end]
        place = self._line()
        self.at = min(end + 1, len(self.text))
        return self._expand(line.split(" #", 1)[0].rstrip(), place)

    def _quoted(self, quote: str) -> str:
        chars: list[str] = []
        escaped = False
        for index in range(self.at + 1, len(self.text)):
            char = self.text[index]
            if char == quote and not escaped:
                place = self._line()
                self.at = index + 1
                value = "".join(chars)
                return self._expand(_ESCAPE.sub(_unescape, value), place) if quote == '"' else value
            if char != quote:
                if not escaped and char == "\\":
                    escaped = True
                    continue
                if escaped:
                    chars.append("\\")
            escaped = False
            chars.append(char)
        start = self.text[self.at :].split("\n")[0]
        raise BadEnvFile(f"unterminated quoted value {start}", self._line())

    def _expand(self, value: str, line: int) -> str:
        def lookup(name: str) -> str | None:
            known = self.lookup(name)
            return self.found.get(name) if known is None else known

        try:
            return substitute(value, lookup, self.warn)
        except BadTemplate as error:
            raise BadEnvFile(f"Invalid template: {error.template!r}", line) from None
        except MissingVariable as error:
            raise BadEnvFile(str(error), line) from None


def _unescape(found: re.Match[str]) -> str:
    text = found.group(0)
    if text == "\\$":
        return "$$"
    if text.startswith("\\0"):
        digits = text[2:]
        octal = len(digits) == 3 and all(digit in "01234567" for digit in digits)
        return chr(int(digits, 8)) if octal and int(digits, 8) <= 255 else text
    return _ESCAPED.get(text[1], text)
