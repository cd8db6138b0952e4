"""`python -m paddock.sim`: fresh seeds for a time, a range of seeds, or one seed again."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping

from paddock.sim.run import Outcome, simulate
from paddock.sim.scenario import DEFAULT, Scenario, load, names
from paddock.world.world import machine_world

END_OF_TRACE = 60


def main(arguments: list[str] | None = None) -> int:
    asked = _parse(arguments)
    chosen = [asked.scenario] if asked.scenario else names() if asked.seed is None else [DEFAULT]
    scenarios = {name: load(name) for name in chosen}
    if asked.seed is not None:
        return _one(chosen[0], asked.seed, trace=asked.trace)
    probes: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    failed: list[Outcome] = []
    count = 0
    for name, seed in _runs(chosen, asked):
        outcome = simulate(name, scenarios[name], seed)
        count += 1
        probes[name].update(outcome.probes)
        print(_line(outcome), flush=True)
        if outcome.wrongs:
            failed.append(outcome)
            print(_failure(outcome), flush=True)
            if asked.stop:
                break
    missing = [words for name in chosen for words in not_reached(name, scenarios[name], probes[name])]
    return _summary(count, failed, probes, missing)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m paddock.sim", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--hours", type=float, help="fresh seeds for so long")
    what.add_argument("--seeds", default="1-10", help="a range of seeds: 1-50")
    what.add_argument("--seed", type=int, help="one run again")
    parser.add_argument("--scenario", choices=names(), help="this one only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every line as it happens")
    parser.add_argument("--stop", action="store_true", help="at the first failure")
    return parser.parse_args(arguments)


def _runs(chosen: list[str], asked: argparse.Namespace) -> Iterator[tuple[str, int]]:
    if asked.hours is None:
        first, _, last = str(asked.seeds).partition("-")
        yield from ((name, seed) for seed in range(int(first), int(last or first) + 1) for name in chosen)
        return
    world = machine_world()
    until_s = world.clock.monotonic_s() + asked.hours * 3600
    while world.clock.monotonic_s() < until_s:
        seed = int(world.chance.hex(8), 16)
        yield from ((name, seed) for name in chosen)


def _one(name: str, seed: int, *, trace: bool) -> int:
    outcome = simulate(name, load(name), seed, print if trace else None)
    print(_line(outcome))
    for probe, hits in sorted(outcome.probes.items()):
        print(f"  {hits:5} {probe}")
    if outcome.wrongs:
        print(_failure(outcome))
    return 1 if outcome.wrongs else 0


def _line(outcome: Outcome) -> str:
    verdict = "FAILED" if outcome.wrongs else "ok"
    return (
        f"{verdict:6} {outcome.scenario} seed {outcome.seed}: {outcome.virtual_s:.0f} s, {outcome.commits} commits, "
        f"healed in {outcome.healed_s:.0f} s, trace {outcome.digest}"
    )


def _failure(outcome: Outcome) -> str:
    lines = "\n".join(f"    {line}" for line in outcome.lines[-END_OF_TRACE:])
    wrongs = "\n".join(f"  {wrong}" for wrong in outcome.wrongs)
    return f"{lines}\n{wrongs}\n  again: {outcome.command}"


def not_reached(name: str, scenario: Scenario, hits: Mapping[str, int]) -> list[str]:
    """Rare states that a set of runs should have reached and did not."""
    return [f"{name} never reached: {probe}" for probe in scenario.probes if not hits.get(probe)]


def _summary(count: int, failed: list[Outcome], probes: dict[str, Counter[str]], missing: list[str]) -> int:
    together: Counter[str] = Counter()
    for hits in probes.values():
        together.update(hits)
    for probe, number in sorted(together.items()):
        print(f"  {number:7} {probe}")
    for words in missing:
        print(words)
    print(f"{count} runs, {len(failed)} failed, {len(missing)} states not reached")
    for outcome in failed:
        print(f"  {outcome.command}: {outcome.wrongs[0]}")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
