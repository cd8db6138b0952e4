"""The documentation names what is there: rooms, files, dependencies, links."""

from __future__ import annotations

import re
import tomllib

import pytest

from docs_examples import DOCS, ROOT, pages

ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")
DECISIONS = DOCS / "decisions"
MOST_LINES = 200


def test_every_room_is_in_the_architecture() -> None:
    rooms = [path.name for path in sorted((ROOT / "src" / "paddock").iterdir()) if (path / "__init__.py").exists()]
    missing = [room for room in rooms if f"`src/paddock/{room}`" not in ARCHITECTURE]
    assert rooms
    assert not missing


def test_every_path_in_the_architecture_exists() -> None:
    words = re.findall(r"`([\w./-]+)`", ARCHITECTURE) + re.findall(
        r"(?<![\w/.-])((?:server|agent)/[a-z_]+)", ARCHITECTURE
    )
    places = (ROOT, ROOT / "src" / "paddock", ROOT / "src" / "paddock" / "core")
    paths = [word for word in words if "/" in word and not word.startswith(("/", "~"))]
    gone = [
        word for word in paths
        if not any((place / word).exists() or (place / f"{word}.py").exists() for place in places)
    ]  # fmt: skip
    assert len(paths) > 40
    assert not gone


def test_the_architecture_can_be_read_in_one_sitting() -> None:
    assert len(ARCHITECTURE.splitlines()) <= MOST_LINES


def test_every_dependency_has_a_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [re.split(r"[<>=!~ \[]", name)[0].lower() for name in project["dependencies"]]
    written = "-".join(path.stem.removeprefix("dependency-") for path in sorted(DECISIONS.glob("dependency-*.md")))
    missing = [name for name in wanted if name not in written.split("-")]
    assert not missing, f"docs/decisions/dependency-NAME.md: {missing}"


@pytest.mark.parametrize(
    "page", [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_links_within_the_project_lead_somewhere(page: object) -> None:
    assert hasattr(page, "read_text")
    text, folder = page.read_text(encoding="utf-8"), page.parent  # type: ignore[attr-defined]
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
    dead = [link for link in links if link and "://" not in link and not (folder / link).exists()]
    assert not dead
