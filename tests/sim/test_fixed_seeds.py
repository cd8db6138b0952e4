"""A fixed set of storms. `python -m paddock.sim --hours 1` runs fresh ones."""

from __future__ import annotations

from collections import Counter

import pytest

from paddock.sim.run import simulate
from paddock.sim.scenario import load

SEEDS = {
    "mixed": (1, 2, 8, 32, 1360072058),
    "servers": (2, 3, 5, 2032689953),
    "hosts": (1, 3, 4, 2575504279, 3994509390),
    "rollouts": (3, 4, 3147185960),
    "identities": (2, 3, 13),
    "disks": (5, 8),
}
"""The long ones are those that once found something."""
RARE = (
    "a clock jumped",
    "a container outlived its host",
    "a copy of an agent is refused",
    "a copy of an agent that is away is refused",
    "a copy that was refused loses its server",
    "a host joined anew beside its old containers",
    "a host joined anew beside its old networks",
    "a rollout completed",
    "agent killed between two ledger writes",
    "an adopted container runs",
    "an agent cannot open its ledger",
    "report that would take a unit back ignored",
    "server killed",
    "server killed between two writes",
    "server killed with its power",
    "the breaker opened",
    "two generations in one slot",
)
reached: Counter[str] = Counter()


@pytest.mark.parametrize(("scenario", "seed"), [(name, seed) for name, seeds in SEEDS.items() for seed in seeds])
def test_what_was_wished_for_is_there_after_the_storm(scenario: str, seed: int) -> None:
    outcome = simulate(scenario, load(scenario), seed)
    assert not outcome.wrongs, f"{outcome.wrongs[0]}\nagain: {outcome.command}"
    assert outcome.commits > 10
    reached.update(outcome.probes)


def test_the_set_reaches_the_rare_states() -> None:
    """Runs after the others in the same process; on its own, or when they were spread, it runs what it needs."""
    for scenario, seed in (("identities", 2), ("disks", 5), ("servers", 5), ("mixed", 1360072058), ("mixed", 32)):
        if all(reached[probe] for probe in RARE):
            break
        reached.update(simulate(scenario, load(scenario), seed).probes)
    assert [probe for probe in RARE if not reached[probe]] == []
