"""Every compose file in the documentation is read by the reader, and turned into a stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs_examples import Block, blocks, pages
from paddock.cli.project import Asked, read_stack
from paddock.core.stack.refusals import _NOTED, _REFUSED
from paddock.model.errors import Invalid

EXAMPLES = [block for page in pages() for block in blocks(page) if block.language == "yaml"]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.place)
def test_it_is_read_as_the_page_says(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password.txt").write_text("correct-horse\n")
    files = [_kept(block, tmp_path)] if block.marks.get("over") else []
    this = tmp_path / block.marks.get("file", "compose.yaml")
    this.write_text(block.text)
    asked = Asked(files=(*files, str(this)), name="tried")
    wanted = block.marks.get("refused")
    if wanted is None:
        assert read_stack(asked).spec.services
        return
    with pytest.raises(Invalid) as refused:
        read_stack(asked)
    assert any(wanted in str(problem) for problem in refused.value.problems)


def _kept(block: Block, folder: Path) -> str:
    """The earlier block of the page that this one is merged over."""
    under = [
        other for other in EXAMPLES
        if other.page == block.page and other.line < block.line and other.marks.get("file") == block.marks["over"]
    ]  # fmt: skip
    assert under, f"{block.place}: nothing before it is called {block.marks['over']}"
    file = folder / "under.yaml"
    file.write_text(under[-1].text)
    return str(file)


@pytest.mark.parametrize("key", sorted({**_REFUSED, **_NOTED}))
def test_what_is_refused_or_has_no_effect_is_in_the_guide(key: str) -> None:
    guide = next(page for page in pages() if page.name == "compose.md").read_text()
    assert f"`{key}`" in guide
