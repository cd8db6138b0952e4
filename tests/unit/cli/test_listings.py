"""What listings look like: fixed views against the text kept in `expected/`.

`PADDOCK_ACCEPT=1 pytest tests/unit/cli/test_listings.py` writes the files anew; review them like code.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddock.cli import api_keys, environments, events, explain, hosts, output, ps, services, stacks, stats, up
from paddock.wire.api import Applied
from unit.cli import views
from unit.cli.views import NOW

EXPECTED = Path(__file__).parent / "expected"

TEXTS = {
    "ps": lambda: output.table(ps.HEADERS, ps.rows(views.CONTAINERS, NOW)),
    "ps-colour": lambda: output.table(ps.HEADERS, ps.rows(views.CONTAINERS, NOW), colour=4),
    "services": lambda: output.table(services.HEADERS, services.rows(views.SERVICES)),
    "stacks": lambda: output.table(stacks.HEADERS, stacks.rows(views.STACKS, NOW)),
    "hosts": lambda: output.table(hosts.HEADERS, hosts.rows(views.HOSTS, NOW)),
    "drain": lambda: hosts.drained("h1", views.DRAINED),
    "environments": lambda: output.table(environments.HEADERS, environments.rows(views.ENVIRONMENTS)),
    "api-keys": lambda: output.table(api_keys.HEADERS, api_keys.rows(views.KEYS, NOW)),
    "stats": lambda: output.table(stats.HEADERS, stats.rows(views.SAMPLES)),
    "explain": lambda: explain.text(views.EXPLANATION),
    "plan": lambda: up.plan(views.APPLIED),
    "plan-empty": lambda: up.plan(Applied(version=1, plan=())),
    "events": lambda: "".join(f"{events.line(event)}\n" for event in views.EVENTS),
}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_text(name: str) -> None:
    file = EXPECTED / f"{name}.txt"
    text = TEXTS[name]()
    if os.environ.get("PADDOCK_ACCEPT"):
        file.write_text(text)
    assert text == file.read_text()


def test_every_expected_file_is_used() -> None:
    assert {file.stem for file in EXPECTED.glob("*.txt")} == set(TEXTS)


def test_no_line_ends_in_blanks() -> None:
    for name in sorted(set(TEXTS) - {"ps-colour"}):
        assert all(line == line.rstrip() for line in TEXTS[name]().splitlines()), name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (120, "2 minutes"),
        (7200, "2 hours"),
        (172800, "2 days"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert output.age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (1024**3, "1 GiB"),
        (150 * 1024**2, "150 MiB"),
        (2**50, "1024 TiB"),
    ],
)
def test_size(count: float, text: str) -> None:
    assert output.size(count) == text


def test_a_name_keeps_its_colour() -> None:
    assert output.name_colour("shop-api-1") == output.name_colour("shop-api-1")
    assert len({output.name_colour(f"shop-api-{number}") for number in range(20)}) > 3
