"""Placements decided per second at 10,000 hosts, beside a plain scan of all hosts for each unit, in the same run.

    python bench/placements.py [--hosts 10000] [--units 1000000]

`converge` is the whole of it: slots to units, filters, scores, changes. The plain scan only chooses hosts: numpy over
all hosts for each unit, with the same filters and in the same order: what a scheduler does that takes
units one by one. All times are CPU seconds of this one process, so that neighbours on the machine do not count.
"""

from __future__ import annotations

import argparse
import gc
import time

import numpy as np

from paddock.core.converge import Scope, converge
from paddock.core.schedule.ask import Ask
from paddock.core.schedule.fleet import Fleet
from paddock.core.schedule.place import place
from paddock.core.stacks import apply_stack
from paddock.model.changes import Put
from paddock.model.objects import Environment, Host, HostFacts, HostState, Unit
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ContainerSpec, Placement, Resources, ServiceSpec, StackSpec

MIB = 1 << 20


def cluster(hosts: int) -> Snapshot:
    facts = [
        HostFacts(
            address=f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}", cpus=8 + at % 5 * 8, memory_bytes=(at % 4 + 1) << 36
        )
        for at in range(hosts)
    ]
    things: list[Environment | Host] = [Environment(id="env", name="default")]
    things += [
        Host(
            id=f"host-{at:05}",
            environment="env",
            name=f"h{at}",
            state=HostState.ACTIVE,
            labels={"rack": f"r{at % 40}"},
            facts=facts[at],
        )
        for at in range(hosts)
    ]
    return Snapshot.empty().with_changes([Put(object=thing, reason="bench") for thing in things])


def wished(name: str, services: int, replicas: int, placement: Placement) -> StackSpec:
    resources = Resources(cpu_milli=50, memory_bytes=64 * MIB)
    container = ContainerSpec(image="busybox", network_mode="host")
    return StackSpec(
        name=name,
        services={
            f"s{at}": ServiceSpec(
                name=f"s{at}", container=container, replicas=replicas, reservation=resources, placement=placement
            )
            for at in range(services)
        },
    )


def planned(snapshot: Snapshot, stack: StackSpec) -> tuple[int, float, Snapshot]:
    """(units placed, seconds, the snapshot after)."""
    changes = apply_stack(snapshot, "env", stack, 1.0)
    snapshot = snapshot.with_changes(changes)
    scope = Scope.of(changes, snapshot)
    gc.collect()
    began = time.process_time()
    plan = converge(snapshot, 2.0, scope)
    took = time.process_time() - began
    units = [change.object for change in plan.changes if isinstance(change.object, Unit)]
    assert all(unit.host is not None for unit in units), "something found no host"
    return len(units), took, snapshot.with_changes(plan.changes)


def plain_scan(snapshot: Snapshot, units: int) -> float:
    """Seconds for `units` choices, one by one."""
    hosts = [host for _, host in sorted(snapshot.table(Host).items())]
    cpu = np.array([host.facts.cpus * 1000 for host in hosts])
    memory = np.array([host.facts.memory_bytes for host in hosts])
    own, total = np.zeros(len(hosts), dtype=np.int64), np.zeros(len(hosts), dtype=np.int64)
    began = time.process_time()
    for _ in range(units):
        fits = (cpu >= 50) & (memory >= 64 * MIB)
        score = np.where(fits, own * 1_000_000 + total, np.iinfo(np.int64).max)
        at = int(score.argmin())
        cpu[at] -= 50
        memory[at] -= 64 * MIB
        own[at] += 1
        total[at] += 1
    return time.process_time() - began


def scheduler_alone(snapshot: Snapshot, batches: int, units: int) -> float:
    """Seconds for choosing hosts only, for `batches` services of `units` each: what the plain scan does, too."""
    fleet = Fleet([host for _, host in sorted(snapshot.table(Host).items())])
    spec = wished("alone", 1, units, Placement()).services["s0"]
    began = time.process_time()
    for _ in range(batches):
        ask = Ask(spec=spec, own=fleet.zeros(), failures=fleet.zeros(), leaving=fleet.zeros())
        fleet.take_at(spec, np.array(place(fleet, ask, units).where, dtype=np.int64))
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=1_000_000)
    options = parser.parse_args()
    empty = cluster(options.hosts)
    scanned = 2_000
    plain = scanned / plain_scan(empty, scanned)
    print(f"{options.hosts} hosts; plain scan, one by one: {plain:,.0f} placements/s")
    chosen = 100 * 1_000
    alone = chosen / scheduler_alone(empty, 100, 1_000)
    print(f"the scheduler alone, 1,000 at a time: {alone:,.0f} placements/s, {alone / plain:.1f}x the plain scan")
    runs = (
        ("100 services x 1,000", wished("many", 100, 1_000, Placement())),
        ("100 services x 1,000 over racks", wished("racks", 100, 1_000, Placement(preferences=("node.labels.rack",)))),
        ("100 services x 1,000, bin-packed", wished("packed", 100, 1_000, Placement(strategy="binpack"))),
        ("2,000 services x 1, in one stack", wished("single", 2_000, 1, Placement())),
    )
    for title, stack in runs:
        units, took, _ = planned(empty, stack)
        rate = units / took
        print(f"{title}: {rate:,.0f} placements/s ({took:.2f} s), {rate / plain:.1f}x the plain scan")
    units, took, full = planned(empty, wished("huge", 1, options.units, Placement()))
    print(
        f"1 service x {units:,}: planned in {took:.1f} s, {units / took:,.0f} placements/s, {units / took / plain:.1f}x"
    )
    units, took, _ = planned(full, wished("one-more", 1, 100, Placement()))
    print(f"100 more on top of these: planned in {took * 1000:.0f} ms")


if __name__ == "__main__":
    main()
