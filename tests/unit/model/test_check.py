"""Each case breaks one thing of a good cluster and names the sentence that must come of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from paddock.model.check import problems, problems_between
from paddock.model.objects import (
    AnyObject,
    Environment,
    Host,
    HostId,
    Network,
    NetworkId,
    Revision,
    RevisionId,
    Rollout,
    Service,
    ServiceId,
    Stack,
    StackId,
    Unit,
    UnitDesired,
    UnitState,
    Volume,
    VolumeId,
    unit_id,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Attachment, ContainerSpec, NetworkSpec, ServiceSpec, VolumeSpec

E, SV, ST = "env-1", ServiceId("service-1"), StackId("stack-1")
NET, REV = NetworkId("network-1"), RevisionId("service-1@1")


def unit(slot: int, generation: int = 1) -> Unit:
    return Unit(
        id=unit_id(SV, slot, generation),
        version=1,
        environment=E,
        stack=ST,
        service=SV,
        stack_name="shop",
        service_name="api",
        slot=slot,
        generation=generation,
        revision=REV,
        name=f"shop-api-{slot}",
        host=HostId(f"host-{slot % 2 + 1}"),
        state=UnitState.RUNNING,
        desired=UnitDesired.RUN,
        addresses={NET: f"10.128.1.{slot}"},
    )


def good() -> dict[str, AnyObject]:
    container = ContainerSpec(image="i", networks=(Attachment(network="default", ipv4_address="10.128.0.20"),))
    things: list[AnyObject] = [
        Environment(id=E, version=1, name="default"),
        Host(id="host-1", version=1, environment=E, name="h1"),
        Host(id="host-2", version=1, environment=E, name="h2"),
        Stack(id=ST, version=1, environment=E, name="shop"),
        Network(
            id=NET, version=1, environment=E, name="shop_default", spec=NetworkSpec(name="shop_default"), vni=100,
            subnet="10.128.0.0/20", gateways={HostId("host-1"): "10.128.0.1", HostId("host-2"): "10.128.0.17"},
        ),
        Volume(
            id="volume-1", version=1, environment=E, name="data", spec=VolumeSpec(name="data"), host=HostId("host-1"),
        ),
        Service(id=SV, version=1, environment=E, stack=ST, stack_name="shop", name="api", revision=REV),
        Revision(
            id=REV, version=1, environment=E, service=SV, spec=ServiceSpec(name="api", container=container),
            networks={"default": NET}, volumes={"data": VolumeId("volume-1")},
        ),
        unit(1),
        unit(2),
    ]  # fmt: skip
    return {thing.id: thing for thing in things}


def snapshot(things: dict[str, AnyObject]) -> Snapshot:
    return Snapshot.of(things.values())


def test_a_good_cluster_has_no_problems() -> None:
    assert problems(snapshot(good())) == []
    assert problems(Snapshot.empty()) == []


Case = tuple[str, dict[str, object], str]
CASES: list[Case] = [
    ("host-1", {"version": 9}, "at version 9, the snapshot only at 1"),
    ("host-1", {"environment": "env-9"}, "in environment 'env-9', which does not exist"),
    ("host-2", {"name": "h1"}, "host host-2 has the name 'h1', and so has host-1"),
    ("host-2", {"name": ""}, "host host-2 has no name"),
    (SV, {"stack": "stack-9"}, "of stack stack-9, which does not exist"),
    (SV, {"stack_name": "shopp"}, "says its stack is shopp, but stack-1 is shop"),
    (SV, {"revision": "service-1@9"}, "needs revision service-1@9, which does not exist"),
    (SV, {"replicas": -1}, "wants -1 replicas"),
    (SV, {"rollout": Rollout(target=RevisionId("service-1@9"), origin=REV)}, "needs revision service-1@9"),
    (REV, {"networks": {"default": "network-9"}}, "refers to network network-9 (as 'default'), which does not exist"),
    (REV, {"volumes": {"data": "volume-9"}}, "refers to volume volume-9"),
    (REV, {"secrets": {"key": "file-9"}}, "refers to file file-9"),
    (REV, {"service": "service-9"}, "belongs to service service-9"),
    ("service-1.1.1", {"slot": 7}, "its id says otherwise"),
    ("service-1.1.1", {"generation": 7}, "its id says otherwise"),
    ("service-1.1.1", {"service_name": "web"}, "disagree about their environment, stack or name"),
    ("service-1.1.1", {"revision": "service-1@9"}, "made of revision service-1@9, which does not exist"),
    ("service-1.1.1", {"name": "shop-api-2"}, "both to run as 'shop-api-2'"),
    ("service-1.1.1", {"host": None}, "is running on no host"),
    ("service-1.1.1", {"host": "host-9"}, "on host host-9, which does not exist"),
    ("service-1.1.1", {"addresses": {NET: "10.128.1.2"}}, "both have 10.128.1.2 on network network-1"),
    ("service-1.1.1", {"addresses": {NET: "10.200.0.1"}}, "which is not in 10.128.0.0/20"),
    ("service-1.1.1", {"addresses": {NET: "ten"}}, "which is not in 10.128.0.0/20"),
    ("service-1.1.1", {"addresses": {NET: "10.128.0.0"}}, "which no container can have"),
    ("service-1.1.1", {"addresses": {NET: "10.128.15.255"}}, "which no container can have"),
    ("service-1.1.1", {"addresses": {NET: "10.128.0.17"}}, "which is a host's gateway"),
    ("service-1.1.1", {"addresses": {NET: "10.128.0.30"}}, "which is in a range left to a host"),
    ("service-1.1.1", {"addresses": {"network-9": "10.128.0.30"}}, "on network network-9, which does not exist"),
    (NET, {"subnet": "10.128.0.1/20"}, "which is none"),
    (NET, {"subnet": ""}, "has gateways but no subnet"),
    (NET, {"gateways": {"host-9": "10.128.0.1"}}, "on host host-9, which does not exist"),
    (NET, {"gateways": {"host-1": "10.128.0.1", "host-2": "10.128.0.2"}}, "in the range of host host-1"),
    (NET, {"gateways": {"host-1": "10.200.0.1"}}, "which no host can have"),
    ("volume-1", {"host": "host-9"}, "is on host host-9, which does not exist"),
]


@pytest.mark.parametrize(("id", "fields", "sentence"), CASES)
def test_each_broken_thing_is_named(id: str, fields: dict[str, object], sentence: str) -> None:
    things = good()
    things[id] = msgspec.structs.replace(things[id], **fields)
    found = problems(snapshot(things))
    assert [problem for problem in found if sentence in problem], found


def add(thing: AnyObject) -> Callable[[dict[str, AnyObject]], None]:
    def change(things: dict[str, AnyObject]) -> None:
        things[thing.id] = thing

    return change


def network(id: str, subnet: str, vni: int) -> Network:
    return Network(id=id, version=1, environment=E, name=id, spec=NetworkSpec(name=id), subnet=subnet, vni=vni)


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        (network("network-2", "10.128.8.0/24", 101), "networks network-1 (10.128.0.0/20) and network-2"),
        (network("network-2", "10.128.16.0/20", 100), "both have VNI 100"),
        (Stack(id="stack-2", version=1, environment=E, name="shop"), "stack stack-2 has the name 'shop'"),
    ],
)
def test_what_clashes_is_named(thing: AnyObject, sentence: str) -> None:
    things = good()
    add(thing)(things)
    assert [problem for problem in problems(snapshot(things)) if sentence in problem]


def changed_unit(things: dict[str, AnyObject], **fields: object) -> Snapshot:
    return snapshot({**things, "service-1.1.1": msgspec.structs.replace(things["service-1.1.1"], **fields)})


def test_an_address_asked_for_may_be_in_a_range_left_to_hosts() -> None:
    assert problems(changed_unit(good(), addresses={NET: "10.128.0.20"})) == []


def test_units_that_ended_may_keep_what_others_have_now() -> None:
    things = good()
    old = msgspec.structs.replace(unit(1, 0), state=UnitState.FAILED, host=HostId("host-gone"))
    add(old)(things)
    assert problems(snapshot(things)) == []
    two_generations = msgspec.structs.replace(unit(1, 2), addresses={NET: "10.128.1.77"})
    add(two_generations)(things)
    assert problems(snapshot(things)) == []


def test_a_long_list_is_cut() -> None:
    hosts: list[AnyObject] = [Host(id=f"h{n}", version=1, environment="none", name=f"h{n}") for n in range(500)]
    assert len(problems(Snapshot.of(hosts))) == 100


@pytest.mark.parametrize(
    ("id", "fields", "sentence"),
    [
        ("service-1.1.1", {"state": UnitState.STARTING}, "went from running back to starting"),
        ("service-1.1.1", {"desired": UnitDesired.READY}, "was wished run and now ready"),
        ("service-1.1.1", {"revision": "service-1@2"}, "changed its revision"),
        ("service-1.1.1", {"name": "other"}, "changed its name from 'shop-api-1' to 'other'"),
        ("service-1.1.1", {"slot": 3}, "changed its slot"),
        ("service-1.1.1", {"host": "host-1"}, "moved from host host-2 to host-1"),
        ("service-1.1.1", {"addresses": {}}, "gave up its address 10.128.1.1"),
        ("service-1.1.1", {"version": 0}, "went from version 1 to 0"),
        (REV, {"spec": ServiceSpec(name="api", container=ContainerSpec(image="j"))}, "revisions never do"),
        ("host-1", {"session": 0}, "went from session 3 to 0"),
    ],
)
def test_what_may_not_go_back_or_change_is_named(id: str, fields: dict[str, object], sentence: str) -> None:
    things = good()
    things["host-1"] = msgspec.structs.replace(things["host-1"], session=3)
    before = snapshot(things)
    assert problems_between(before, before) == []
    things[id] = msgspec.structs.replace(things[id], **fields)
    assert [problem for problem in problems_between(before, snapshot(things)) if sentence in problem]


def test_climbing_is_fine_and_so_are_coming_and_going() -> None:
    things = good()
    before = snapshot(things)
    after = changed_unit(things, state=UnitState.FAILED, desired=UnitDesired.REMOVED, addresses={}, version=1)
    assert problems_between(before, after) == []
    assert problems_between(before, Snapshot.of([unit(5)], 2)) == []
    assert problems_between(Snapshot.of([], 2), Snapshot.of([], 1)) == ["version 1 comes after version 2"]
