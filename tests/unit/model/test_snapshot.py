from __future__ import annotations

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from paddock.model.changes import Change, Delete, Put
from paddock.model.errors import Conflict
from paddock.model.objects import Host, HostId, HostState, NetworkId, Object, RevisionId, ServiceId, StackId, Unit
from paddock.model.snapshot import Snapshot


def host(name: str, version: int = 0) -> Host:
    return Host(id=f"host-{name}", version=version, environment="env-1", name=name)


def test_put_gives_the_new_version_and_leaves_the_old_snapshot_as_it_was() -> None:
    empty = Snapshot.empty()
    one = empty.with_changes([Put(object=host("h1"), reason="joined")])
    assert one.get(Host, "host-h1") == host("h1", version=1)
    assert empty.get(Host, "host-h1") is None
    assert one.named(Host, "env-1", "h1") == host("h1", version=1)


def test_a_write_from_an_older_version_is_refused() -> None:
    one = Snapshot.empty().with_changes([Put(object=host("h1"), reason="joined")])
    with pytest.raises(Conflict):
        one.with_changes([Put(object=host("h1"), reason="joined again")])
    with pytest.raises(Conflict):
        one.with_changes([Delete(object=host("h1", version=7), reason="removed")])


def test_indexes_follow_a_rename_and_a_removal() -> None:
    one = Snapshot.empty().with_changes([Put(object=host("h1"), reason="joined")])
    current = one.get(Host, "host-h1")
    assert current is not None
    two = one.with_changes([Put(object=msgspec.structs.replace(current, name="h9"), reason="renamed")])
    assert two.named(Host, "env-1", "h1") is None
    renamed = two.named(Host, "env-1", "h9")
    assert renamed is not None
    three = two.with_changes([Delete(object=renamed, reason="removed")])
    assert three.named(Host, "env-1", "h9") is None
    assert one.named(Host, "env-1", "h1") is not None


def test_objects_survive_the_trip_through_json() -> None:
    thing = msgspec.structs.replace(host("h1"), state=HostState.ACTIVE)
    text = msgspec.json.encode(thing)
    assert msgspec.json.decode(text, type=Host) == thing
    assert b'"kind":"host"' in text
    assert isinstance(thing, Object)
    assert HostId(thing.id) == "host-h1"


def unit(slot: int, host: str, network: str, name: str) -> Unit:
    return Unit(
        id=f"s.{slot}.1", environment="env-1", stack=StackId("st"), service=ServiceId("s"), stack_name="shop",
        service_name="api", slot=slot, generation=1, revision=RevisionId("s@1"), name=name,
        host=HostId(host) if host else None, addresses={NetworkId(network): f"10.0.0.{slot}"} if network else {},
    )  # fmt: skip


WRITES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["", "h1", "h2"]), st.sampled_from(["", "n1"]), st.booleans()),
        max_size=4,
    ),
    max_size=12,
)


@given(WRITES)
def test_indexes_always_say_what_the_tables_say(commits: list[list[tuple[int, str, str, bool]]]) -> None:
    snapshot = Snapshot.empty()
    for writes in commits:
        changes: list[Change] = []
        for slot, host, network, remove in {write[0]: write for write in writes}.values():
            there = snapshot.get(Unit, f"s.{slot}.1")
            if there is not None and remove:
                changes.append(Delete(object=there, reason="test"))
            else:
                thing = unit(slot, host, network, f"name-{len(host) + slot % 2}")
                version = there.version if there is not None else 0
                changes.append(Put(object=msgspec.structs.replace(thing, version=version), reason="test"))
        snapshot = snapshot.with_changes(changes)
        units = sorted(snapshot.table(Unit).values(), key=lambda found: found.id)
        assert snapshot.units_of_service(ServiceId("s")) == units
        assert len(snapshot) == len(units)
        for host in ("h1", "h2"):
            assert snapshot.units_on_host(HostId(host)) == [found for found in units if found.host == host]
        assert snapshot.units_on_network(NetworkId("n1")) == [found for found in units if "n1" in found.addresses]
        for name in {found.name for found in units}:
            assert snapshot.units_named("env-1", name) == [found for found in units if found.name == name]
        assert snapshot.version == 0 or Snapshot.of(units).units_on_host(HostId("h1")) == snapshot.units_on_host(
            HostId("h1")
        )


def test_the_changes_as_written_are_the_objects_in_the_tables() -> None:
    snapshot, written = Snapshot.empty().changed([Put(object=host("h1"), reason="joined")], 7)
    assert written[0].object is snapshot.get(Host, "host-h1")
    assert written[0].object.version == snapshot.version == 7
