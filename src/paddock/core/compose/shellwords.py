"""A command written as one string -> its words, as mattn/go-shellwords splits them (no shell is run)."""

from __future__ import annotations


def split(line: str) -> list[str]:
    """Raises ValueError for what is left open. Stops silently at an unquoted `;`, `&`, `|`, `<` or `>`."""
    return _Splitter().run(line)


class _Splitter:
    def __init__(self) -> None:
        self.words: list[str] = []
        self.word = ""
        self.started = False
        self.escaped = False
        self.single = self.double = self.back = self.dollar = False

    def run(self, line: str) -> list[str]:
        for char in line:
            if self.escaped:
                self._take(char)
                self.escaped = False
            elif char == "\\":
                if self.single:
                    self.word += char
                else:
                    self.escaped = True
            elif char in " \t\r\n":
                self._space(char)
            elif char in ";&|<>" and not self._open():
                if char == ">" and self.word[:1].isdigit():
                    self.started = False
                break
            elif not self._quote(char):
                self._take(char)
        if self.started:
            self.words.append(self.word)
        if self.escaped or self._open():
            raise ValueError("invalid command line string")
        return self.words

    def _open(self) -> bool:
        return self.single or self.double or self.back or self.dollar

    def _take(self, char: str) -> None:
        self.word += char
        self.started = True

    def _space(self, char: str) -> None:
        if self._open():
            self.word += char
        elif self.started:
            self.words.append(self.word)
            self.word, self.started = "", False

    def _quote(self, char: str) -> bool:
        """Whether `char` only opened or closed something and is no part of the word."""
        if char == "`" and not (self.single or self.double or self.dollar):
            self.back = not self.back
        elif char == ")" and not (self.single or self.double or self.back):
            self.dollar = not self.dollar
        elif char == "(" and not (self.single or self.double or self.back):
            if self.dollar or not self.word.endswith("$"):
                raise ValueError("invalid command line string")
            self.dollar = True
            self.word += char
            return True
        elif char == '"' and not (self.single or self.dollar):
            self.started = self.started or self.double
            self.double = not self.double
            return True
        elif char == "'" and not (self.double or self.dollar):
            self.started = self.started or self.single
            self.single = not self.single
            return True
        return False
