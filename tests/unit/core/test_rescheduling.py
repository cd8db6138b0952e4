"""Standalone containers whose host is lost: made anew elsewhere where that was asked for, under the id they had."""

from __future__ import annotations

import msgspec
import pytest

from paddock.core.assignment import assignment
from paddock.core.commands import remove_host
from paddock.core.dry_run import dry_run
from paddock.core.lifecycle import next_step, remember
from paddock.core.standalone import HOME_NETWORK, rename, wish
from paddock.model.assignment import ContainerAssignment, UnitAssignment
from paddock.model.changes import Put
from paddock.model.objects import ContainerStatus, HostId, NetworkId, Unit, UnitDesired, UnitId, UnitState
from paddock.model.observed import ContainerState, ObservedContainer, ObservedUnit, Progress
from paddock.model.specs import Attachment, Placement, RestartPolicy, ServiceSpec, VolumeMount
from paddock.model.steps import CreateContainer, PrepareContainer, StartContainer
from pretend_cluster import ENVIRONMENT, Cluster, make_service

ID = "0123456789abcdef" * 4


def spec(name: str = "web", **fields: object) -> ServiceSpec:
    fields.setdefault("networks", (Attachment(network=HOME_NETWORK, aliases=("site",)),))
    fields.setdefault("restart", RestartPolicy(condition="none", engine=True))
    fields.setdefault("reschedule", "on-node-failure")
    fields.setdefault("config", {"Cmd": ["sleep"], "Labels": {"mine": "yes"}})
    return make_service(name, mode="standalone", container_name=name, **fields)


def run(cluster: Cluster, wanted: ServiceSpec, state: str = "running", id: str = ID) -> Unit:
    wished = wish(cluster.snapshot, ENVIRONMENT, wanted, cluster.now_s)
    cluster.commit(dry_run(cluster.snapshot, wished, cluster.now_s))
    cluster.decide()
    return reported(cluster, wanted.name, state, id)


def reported(cluster: Cluster, name: str, state: str, id: str) -> Unit:
    status = ContainerStatus(id=id, name=name, state=state)
    now = msgspec.structs.replace(
        cluster.called(name), state=UnitState.READY, healthy=state == "running", containers=(status,) if id else ()
    )
    cluster.commit([Put(object=now, reason="reported")])
    cluster.decide()
    return cluster.called(name)


def told(cluster: Cluster, unit: Unit) -> UnitAssignment:
    items = assignment(cluster.snapshot, HostId(unit.host or "")).values()
    return next(item for item in items if isinstance(item, UnitAssignment) and item.unit == unit.id)


@pytest.mark.parametrize(("state", "remake"), [("running", "start"), ("paused", "start"), ("exited", "create")])
def test_it_is_made_anew_elsewhere_as_it_was(state: str, remake: str) -> None:
    cluster = Cluster.checked()
    before = run(cluster, spec(), state)
    cluster.lose(cluster.host_of(before))
    after = cluster.called("web")
    assert (after.state, after.known_as, after.remake) == (UnitState.PLACED, ID, remake)
    assert after.host != before.host
    assert after.addresses == before.addresses
    item = told(cluster, after)
    assert (item.hands_off, item.remake) == (True, remake)
    body = item.containers[0].body
    assert (body["Cmd"], body["Hostname"], body["Labels"]["mine"]) == (["sleep"], ID[:12], "yes")
    cluster.bring_back(cluster.host_of(before))
    back = assignment(cluster.snapshot, HostId(before.host or ""))
    assert not [item for item in back.values() if isinstance(item, UnitAssignment)]


def test_the_first_id_is_kept_however_often_it_moves() -> None:
    cluster = Cluster.checked(5)
    first = run(cluster, spec())
    cluster.lose(cluster.host_of(first))
    second = reported(cluster, "web", "running", "f" * 64)
    cluster.pass_time(100.0)
    cluster.lose(cluster.host_of(second))
    third = cluster.called("web")
    assert (third.generation, third.known_as) == (3, ID)
    reported(cluster, "web", "running", "e" * 64)
    for asked in (ID, ID[:7], ID[:2], "e" * 64):
        found = cluster.snapshot.units_with_container(ENVIRONMENT, asked)
        assert [unit.id for unit in found if unit.live] == [third.id], asked


def test_a_new_name_goes_with_it() -> None:
    cluster = Cluster.checked()
    before = run(cluster, spec())
    cluster.commit(rename(cluster.snapshot, before, "site"))
    cluster.decide()
    cluster.lose(cluster.host_of(before))
    assert cluster.called("site").generation == 2


def test_one_that_cannot_be_made_there_tries_another_host() -> None:
    cluster = Cluster.checked()
    before = run(cluster, spec())
    cluster.lose(cluster.host_of(before))
    second = cluster.called("web")
    for state in (UnitState.REJECTED, UnitState.REMOVED):
        second = cluster.called("web")
        cluster.commit([Put(object=msgspec.structs.replace(second, state=state), reason="no such image")])
        cluster.decide()
    cluster.pass_time(120.0)
    third = cluster.called("web")
    assert (third.generation, third.known_as, third.remake) == (3, ID, "start")
    assert third.host not in (None, before.host, second.host)


def test_one_of_a_host_that_is_taken_out_is_made_anew() -> None:
    cluster = Cluster.checked()
    before = run(cluster, spec())
    cluster.lose(cluster.host_of(before))
    second = reported(cluster, "web", "running", "f" * 64)
    taken_out = remove_host(cluster.snapshot, cluster.host(cluster.host_of(second)), force=True)
    cluster.commit(dry_run(cluster.snapshot, taken_out, cluster.now_s))
    cluster.decide()
    third = cluster.called("web")
    assert (third.generation, third.known_as, third.remake) == (3, ID, "start")


@pytest.mark.parametrize(
    ("wanted", "id", "why"),
    [
        (spec(reschedule=""), ID, "only whoever made it"),
        (spec(), "", "somebody who has to ask again"),
        (spec(volumes=(VolumeMount(volume="data", target="/d"),)), ID, "volume data is on"),
        (spec(placement=Placement(constraints=("node.hostname==h1",))), ID, "constraint (node.hostname==h1)"),
        (spec(placement=Placement(beside=(("host-h1", "it needs db"),))), ID, "dependency (it needs db on h1)"),
    ],
)
def test_what_cannot_go_waits_and_says_why(wanted: ServiceSpec, id: str, why: str) -> None:
    cluster = Cluster.checked()
    before = run(cluster, wanted, id=id)
    cluster.lose(cluster.host_of(before))
    after = cluster.called("web")
    assert (after.id, after.host) == (before.id, before.host)
    assert after.waiting is not None
    assert why in f"{after.waiting.reason} {after.waiting.details}"


def test_nothing_moves_while_most_are_lost() -> None:
    cluster = Cluster.checked(4)
    before = run(cluster, spec())
    others = [name for name in ("h1", "h2", "h3", "h4") if name != cluster.host_of(before)]
    cluster.lose(cluster.host_of(before), *others[:2])
    assert cluster.called("web").id == before.id
    assert "so are most" in str(cluster.called("web").waiting)
    cluster.bring_back(*others[:2])
    assert cluster.called("web").generation == 2


# On the host


def asked(remake: str) -> UnitAssignment:
    container = ContainerAssignment(name="web", image="busybox")
    item = UnitAssignment(unit=UnitId("u"), desired=UnitDesired.RUN, containers=(container,), hands_off=True)
    return msgspec.structs.replace(item, remake=remake)


def test_the_agent_makes_and_starts_it_once() -> None:
    item, progress, steps = asked("start"), Progress(), []
    seen = ObservedUnit()
    for state in (None, None, "created", "running", "exited"):
        if state is not None:
            seen = ObservedUnit(containers=(observed(state),))
        progress = remember(item, seen, progress)
        step = next_step(item, seen, progress)
        steps.append(type(step).__name__ if step is not None else "")
        if isinstance(step, PrepareContainer):
            progress = msgspec.structs.replace(progress, prepared=())
    assert steps == [PrepareContainer.__name__, CreateContainer.__name__, StartContainer.__name__, "", ""]
    assert progress.state == UnitState.READY
    gone = remember(item, ObservedUnit(), progress)
    assert (gone.state, next_step(item, ObservedUnit(), gone)) == (UnitState.REMOVED, None)


def test_one_that_did_not_run_is_only_made() -> None:
    progress = Progress(prepared=(NetworkId("n"),))
    seen = ObservedUnit(containers=(observed("created"),))
    assert next_step(asked("create"), seen, remember(asked("create"), seen, progress)) is None


def test_a_refusal_is_the_end_of_it_there() -> None:
    progress = remember(asked("start"), ObservedUnit(), Progress(prepared=(), refused="no such image"))
    assert (progress.state, next_step(asked("start"), ObservedUnit(), progress)) == (UnitState.REJECTED, None)


def observed(state: ContainerState) -> ObservedContainer:
    started = 0.0 if state == "created" else 5.0
    return ObservedContainer(id="c1", name="web", state=state, unit=UnitId("u"), started_at_s=started)
