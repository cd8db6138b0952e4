from __future__ import annotations

import msgspec
import pytest

from paddock.model.changes import Delete, Put
from paddock.model.errors import Conflict
from paddock.model.objects import Host, HostId, HostState, Object
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
