"""The compose files in the guide are read by the real reader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paddock.core.compose import Options, load
from paddock.core.stack import from_project

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "compose.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)


class OneFile:
    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, path: str) -> str | None:
        return self.text if path == "/srv/shop/compose.yaml" else None

    def exists(self, path: str) -> bool:
        return path == "/srv/shop/compose.yaml"

    def is_dir(self, path: str) -> bool:
        return path == "/srv/shop"


@pytest.mark.parametrize("text", EXAMPLES)
def test_example_of_the_guide(text: str) -> None:
    project = load(Options(working_dir="/srv/shop"), OneFile(text))
    translated = from_project(project, lambda path: b"")
    assert translated.warnings == ()
    assert translated.spec.services


def test_there_are_examples() -> None:
    assert EXAMPLES
