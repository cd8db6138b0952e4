"""A unit's next step: by table for what must happen, by property for where it must lead."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from paddock.core.lifecycle import next_step, remember, report_of, take_over
from paddock.model.assignment import ContainerAssignment, Endpoint, UnitAssignment
from paddock.model.objects import NetworkId, UnitDesired, UnitId, UnitState
from paddock.model.observed import ContainerState, ObservedContainer, ObservedUnit, OwnedContainer, Progress
from paddock.model.steps import (
    ConnectNetwork,
    CreateContainer,
    PrepareContainer,
    PullImage,
    RefuseUnit,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    StopContainer,
)
from unit.core.lifecycle.engine_model import World, settle

UNIT, OLDER = UnitId("service-1.1.2"), UnitId("service-1.1.1")
API = ContainerAssignment(name="shop-api-1", image="api:1", stop_grace_s=3.0)
LOG = ContainerAssignment(name="shop-log-1", role="log", image="log:1", after=("shop-api-1",))
HOST = World(images=("api:1", "log:1"), networks={"n1": "shop_a", "n2": "shop_b"})


def unit(desired: UnitDesired = UnitDesired.RUN, **changes: Any) -> UnitAssignment:
    return UnitAssignment(unit=UNIT, desired=desired, **{"containers": (API,), **changes})


def container(state: ContainerState = "running", **changes: Any) -> ObservedContainer:
    defaults: dict[str, Any] = {"id": "c1", "name": "shop-api-1", "unit": UNIT, "state": state}
    if state != "created":
        defaults["started_at_s"] = 5.0
    if state == "exited":
        defaults["exit_code"] = 0
    return ObservedContainer(**{**defaults, **changes})


def decide(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress | None = None) -> Any:
    return next_step(assignment, seen, remember(assignment, seen, progress or Progress()))


def state(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress | None = None) -> UnitState:
    return remember(assignment, seen, progress or Progress()).state


OWN = Progress(owned={"": OwnedContainer(id="c1")})


@pytest.mark.parametrize(
    ("assignment", "seen", "expected"),
    [
        (unit(UnitDesired.READY), (container("created"),), None),
        (unit(), (container("created"),), StartContainer(container="c1")),
        (unit(), (container("running"),), None),
        (unit(), (container("exited"),), None),
        (unit(), (container("exited", exit_code=1),), None),
        (unit(UnitDesired.STOPPED), (container("running"),), StopContainer(container="c1", grace_s=3.0)),
        (unit(UnitDesired.STOPPED), (container("restarting"),), StopContainer(container="c1", grace_s=3.0)),
        (unit(UnitDesired.STOPPED), (container("exited"),), None),
        (unit(UnitDesired.REMOVED), (container("running"),), StopContainer(container="c1", grace_s=3.0)),
        (unit(UnitDesired.REMOVED), (container("exited"),), RemoveContainer(container="c1")),
        (unit(UnitDesired.REMOVED), (container("removing"),), None),
        (unit(UnitDesired.REMOVED), (), None),
        (
            unit(engine_restarts=True),
            (container("exited", restart_policy="always"),),
            StartContainer(container="c1", again=True, local_restart=True),
        ),
        (unit(engine_restarts=True), (container("exited", exit_code=1, restart_policy="on-failure"),), None),
        (unit(engine_restarts=True), (container("restarting", restart_policy="always"),), None),
    ],
)
def test_one_container(assignment: UnitAssignment, seen: tuple[ObservedContainer, ...], expected: Any) -> None:
    assert decide(assignment, ObservedUnit(containers=seen)) == expected


@pytest.mark.parametrize(
    ("assignment", "seen", "expected"),
    [
        (unit(UnitDesired.READY), (), UnitState.PREPARING),
        (unit(UnitDesired.READY), (container("created"),), UnitState.READY),
        (unit(), (container("created"),), UnitState.STARTING),
        (unit(), (container("running"),), UnitState.RUNNING),
        (unit(), (container("paused"),), UnitState.RUNNING),
        (unit(), (container("exited"),), UnitState.COMPLETE),
        (unit(), (container("exited", exit_code=3),), UnitState.FAILED),
        (unit(), (container("dead", exit_code=3),), UnitState.FAILED),
        (unit(), (container("exited", exit_code=0, interrupted=True),), UnitState.FAILED),
        (unit(engine_restarts=True), (container("restarting", exit_code=3),), UnitState.RUNNING),
        (unit(engine_restarts=True), (container("exited", restart_policy="always"),), UnitState.RUNNING),
        (unit(UnitDesired.STOPPED), (container("running"),), UnitState.PREPARING),
        (unit(UnitDesired.STOPPED), (container("exited", exit_code=137),), UnitState.SHUTDOWN),
        (unit(UnitDesired.REMOVED), (container("exited"),), UnitState.SHUTDOWN),
        (unit(UnitDesired.REMOVED), (), UnitState.REMOVED),
    ],
)
def test_states(assignment: UnitAssignment, seen: tuple[ObservedContainer, ...], expected: UnitState) -> None:
    assert state(assignment, ObservedUnit(containers=seen)) == expected


def test_nothing_takes_a_state_back() -> None:
    failed = Progress(state=UnitState.FAILED, message="it ended", owned=OWN.owned)
    assert state(unit(), ObservedUnit(containers=(container("running"),)), failed) == UnitState.FAILED
    assert state(unit(UnitDesired.STOPPED), ObservedUnit(), failed) == UnitState.FAILED
    assert state(unit(UnitDesired.REMOVED), ObservedUnit(), failed) == UnitState.REMOVED


def test_the_reason_of_a_failure_is_kept_while_cut_off() -> None:
    assignment = unit(restart="any")
    over = ObservedUnit(containers=(container("exited", exit_code=9, oom_killed=True, error="boom"),))
    progress = remember(assignment, over, OWN)
    assert progress.message == (
        "shop-api-1 ended with exit code 9, killed because it used more memory than it may: boom"
    )
    cut = replace(over, cut_off=True)
    assert remember(assignment, cut, progress) == progress
    assert next_step(assignment, cut, progress) is None
    assert report_of(assignment, cut, progress).message == progress.message


@pytest.mark.parametrize(
    ("restart", "exit_code", "again"),
    [("none", 1, False), ("on-failure", 0, False), ("on-failure", 1, True), ("any", 0, True)],
)
def test_cut_off_the_policy_decides(restart: Any, exit_code: int, again: bool) -> None:
    seen = ObservedUnit(containers=(container("exited", exit_code=exit_code),), cut_off=True)
    step = decide(unit(restart=restart), seen, OWN)
    assert step == (StartContainer(container="c1", again=True, local_restart=True) if again else None)


def test_a_vanished_container_is_a_failure() -> None:
    progress = remember(unit(), ObservedUnit(), OWN)
    assert progress.state == UnitState.FAILED
    assert "removed from its host" in report_of(unit(), ObservedUnit(), progress).message
    assert next_step(unit(), ObservedUnit(), progress) is None


def test_what_is_refused_is_rejected_once_nothing_runs() -> None:
    assignment = unit(containers=(API, LOG))
    refused = Progress(refused="no such program", owned={"": OwnedContainer(id="c1"), "log": OwnedContainer(id="c2")})
    log = container("created", id="c2", name="shop-log-1", role="log")
    seen = ObservedUnit(containers=(container("running"), log))
    assert state(assignment, seen, refused) == UnitState.PREPARING
    assert decide(assignment, seen, refused) == StopContainer(container="c1", grace_s=3.0)
    seen = ObservedUnit(containers=(container("exited"), log))
    assert state(assignment, seen, refused) == UnitState.REJECTED
    assert report_of(assignment, seen, remember(assignment, seen, refused)).message == "no such program"


def test_images_are_pulled_when_the_policy_says() -> None:
    missing = ObservedUnit(missing_images=("api:1",))
    assert decide(unit(), missing) == PullImage(unit=UNIT, role="", image="api:1")
    never = unit(containers=(replace(API, pull="never"),))
    assert decide(never, missing) == PullImage(unit=UNIT, role="", image="api:1", asks_registry=False)
    built = unit(containers=(replace(API, image_id="sha256:1"),))
    assert decide(built, missing) == PullImage(unit=UNIT, role="", image="api:1", image_id="sha256:1")
    always = unit(containers=(replace(API, pull="always"),))
    assert decide(always, ObservedUnit()) == PullImage(unit=UNIT, role="", image="api:1", always=True)
    assert isinstance(decide(always, ObservedUnit(), Progress(pulled=("",))), CreateContainer)


def test_a_taken_name() -> None:
    older = container("exited", id="old", unit=OLDER)
    step = decide(unit(), ObservedUnit(named={"shop-api-1": older}))
    assert step == RenameContainer(container="old", name="shop-api-1_old_old")
    foreign = replace(older, unit=None)
    step = decide(unit(), ObservedUnit(named={"shop-api-1": foreign}))
    assert isinstance(step, RefuseUnit)
    assert "did not make" in step.reason


def test_it_waits_for_networks_and_for_containers_of_other_units() -> None:
    endpoint = Endpoint(network=NetworkId("n1"), ipv4="10.0.0.2", mac="")
    assignment = unit(containers=(replace(API, endpoints=(endpoint,), after=("db",)),))
    seen = ObservedUnit()
    progress = remember(assignment, seen, Progress())
    assert next_step(assignment, seen, progress) is None
    assert "waits for network n1" in report_of(assignment, seen, progress).message
    seen = replace(seen, networks={NetworkId("n1"): "shop_a"})
    assert "waits for container db to be created" in report_of(assignment, seen, progress).message
    other = container("created", id="db", name="db", unit=UnitId("x.1.1"))
    seen = replace(seen, named={"db": other})
    assert isinstance(next_step(assignment, seen, progress), CreateContainer)
    made = container("created", networks={"shop_a": "10.0.0.2"})
    seen = replace(seen, containers=(made,))
    progress = remember(assignment, seen, progress)
    assert next_step(assignment, seen, progress) is None
    assert "waits for container db to be started" in report_of(assignment, seen, progress).message
    seen = replace(seen, named={"db": replace(other, state="running")})
    assert isinstance(next_step(assignment, seen, progress), StartContainer)


def test_networks_missing_after_creation_are_connected_before_the_start() -> None:
    endpoints = tuple(Endpoint(network=NetworkId(n), ipv4=f"10.0.{n[1]}.2", mac="") for n in ("n1", "n2"))
    _, progress, steps = settle(unit(containers=(replace(API, endpoints=endpoints),)), HOST, Progress())
    assert [type(step) for step in steps] == [CreateContainer, ConnectNetwork, StartContainer]
    assert progress.state == UnitState.RUNNING


def test_sidekicks_start_after_and_stop_before() -> None:
    assignment = unit(containers=(LOG, API))
    world, progress, steps = settle(assignment, HOST, Progress())
    names = {c.id: c.name for c in world.containers}
    assert [names[s.container] for s in steps if isinstance(s, StartContainer)] == ["shop-api-1", "shop-log-1"]
    _, _, steps = settle(replace(assignment, desired=UnitDesired.REMOVED), world, progress)
    done = [(type(s), names[s.container]) for s in steps if isinstance(s, StopContainer | RemoveContainer)]
    assert done == [
        (StopContainer, "shop-log-1"),
        (StopContainer, "shop-api-1"),
        (RemoveContainer, "shop-log-1"),
        (RemoveContainer, "shop-api-1"),
    ]


@pytest.mark.parametrize(("exit_code", "expected"), [(0, UnitState.RUNNING), (1, UnitState.FAILED)])
def test_a_sidekick_may_end_well(exit_code: int, expected: UnitState) -> None:
    assignment = unit(containers=(API, LOG))
    # One that had ended well is not spoilt when its engine is started anew.
    log = container("exited", id="c2", name="shop-log-1", role="log", exit_code=exit_code, interrupted=True)
    seen = ObservedUnit(containers=(container(), log))
    progress = remember(assignment, seen, Progress())
    assert progress.state == expected
    assert report_of(assignment, seen, progress).healthy == (expected == UnitState.RUNNING)


@pytest.mark.parametrize(
    ("changes", "healthy"),
    [
        ({}, True),
        ({"health": "healthy"}, True),
        ({"health": "starting"}, False),
        ({"health": "unhealthy"}, False),
        ({"state": "paused"}, False),
        ({"state": "restarting"}, False),
    ],
)
def test_health(changes: dict[str, Any], healthy: bool) -> None:
    seen = ObservedUnit(containers=(container(**changes),))
    assert report_of(unit(), seen, remember(unit(), seen, Progress())).healthy == healthy


def test_reused_containers_are_started_again() -> None:
    assignment = unit(reuses=OLDER)
    mine, older = take_over(assignment, Progress(state=UnitState.SHUTDOWN, owned=OWN.owned))
    assert older.given_up
    stopped = container("exited", unit=OLDER, exit_code=0)
    seen = ObservedUnit(containers=(stopped,))
    mine = remember(assignment, seen, mine)
    assert mine.state == UnitState.STARTING
    assert next_step(assignment, seen, mine) == StartContainer(container="c1", again=True)
    again = ObservedUnit(containers=(replace(stopped, started_at_s=9.0, exit_code=2),))
    assert state(assignment, again, mine) == UnitState.FAILED
    gone = replace(unit(), unit=OLDER, desired=UnitDesired.REMOVED)
    assert remember(gone, ObservedUnit(), older).state == UnitState.REMOVED
    assert next_step(gone, ObservedUnit(), older) is None


def test_strays_of_a_unit_go() -> None:
    seen = ObservedUnit(containers=(container(), container("exited", id="c9", name="x", role="former")))
    assert decide(unit(), seen, OWN) == RemoveContainer(container="c9")


# Properties

states: st.SearchStrategy[ContainerState] = st.sampled_from(get_args(ContainerState))
desires = st.sampled_from(UnitDesired)


@st.composite
def seen_containers(draw: st.DrawFn) -> tuple[ObservedContainer, ...]:
    found = []
    for asked in (API, LOG):
        if draw(st.booleans()):
            what = draw(states.filter(lambda state: state != "removing"))
            found.append(
                container(
                    what,
                    id=f"id-{asked.name}",
                    name=asked.name,
                    role=asked.role,
                    exit_code=draw(st.sampled_from((0, 1, 137))),
                    restart_policy=draw(st.sampled_from(("", "always", "on-failure"))),
                    health=draw(st.sampled_from(("", "healthy", "unhealthy"))),
                )
            )
    return tuple(found)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    others = []
    if draw(st.booleans()):
        others.append(container(draw(states), id="older", unit=OLDER))
    containers = draw(seen_containers())
    taken = [c.name for c in containers]
    return World(
        containers=containers,
        others=tuple(other for other in others if other.name not in taken),
        images=tuple(draw(st.lists(st.sampled_from(("api:1", "log:1")), unique=True))),
        networks={"n1": "shop_a"},
        cut_off=draw(st.booleans()),
    )


units = st.builds(
    lambda desired, engine_restarts, restart: unit(
        desired, containers=(API, LOG), engine_restarts=engine_restarts, restart=restart
    ),
    desires,
    st.booleans(),
    st.sampled_from(("none", "on-failure", "any")),
)


@given(worlds(), units, st.booleans())
def test_steps_lead_to_what_is_wished(world: World, assignment: UnitAssignment, remembered: bool) -> None:
    owned = {c.role: OwnedContainer(id=c.id) for c in world.containers} if remembered else {}
    after, progress, _ = settle(assignment, world, Progress(owned=owned))
    alive = [c for c in after.containers if c.alive]
    match assignment.desired:
        case UnitDesired.REMOVED:
            assert not after.containers
            assert progress.state == UnitState.REMOVED
        case UnitDesired.STOPPED:
            assert not alive
            assert progress.state >= UnitState.COMPLETE
        case UnitDesired.RUN:
            assert progress.state >= UnitState.RUNNING
            if progress.state > UnitState.RUNNING:
                assert not alive
            else:
                assert len(after.containers) == 2
        case UnitDesired.READY:
            assert progress.state >= UnitState.READY


@given(worlds(), units, st.lists(desires, max_size=4))
def test_whatever_is_wished_in_turn_states_only_climb(
    world: World, assignment: UnitAssignment, wishes: list[UnitDesired]
) -> None:
    progress = Progress()
    for wish in [*wishes, UnitDesired.REMOVED]:
        world, progress, _ = settle(replace(assignment, desired=wish), world, progress)
    assert progress.state == UnitState.REMOVED
    assert not world.containers


@given(worlds(), units)
def test_the_same_view_gives_the_same_step_whatever_its_order(world: World, assignment: UnitAssignment) -> None:
    turned = replace(world, containers=tuple(reversed(world.containers)))
    assert decide(assignment, world.seen()) == decide(assignment, turned.seen())


@given(worlds(), units)
def test_at_rest_a_report_says_what_is_remembered(world: World, assignment: UnitAssignment) -> None:
    after, progress, _ = settle(assignment, world, Progress())
    report = report_of(assignment, after.seen(), progress)
    assert report.state == progress.state
    assert not report.healthy or report.state == UnitState.RUNNING
    if report.state == UnitState.FAILED:
        assert report.message


HANDS_OFF = unit(
    hands_off=True, containers=(replace(API, endpoints=(Endpoint(network=NetworkId("n1"), ipv4="", mac=""),)),)
)
PREPARED = Progress(prepared=(NetworkId("n1"),))


def looks(*containers: ObservedContainer, networks: dict[NetworkId, str] | None = None) -> ObservedUnit:
    there = {NetworkId("n1"): "a"} if networks is None else networks
    return ObservedUnit(containers=containers, networks=there)


@pytest.mark.parametrize(
    ("seen", "progress", "step", "reached"),
    [
        (looks(networks={}), Progress(), None, UnitState.PREPARING),
        (looks(), Progress(), PrepareContainer, UnitState.PREPARING),
        (looks(), PREPARED, None, UnitState.PREPARED),
        (looks(), Progress(prepared=()), PrepareContainer, UnitState.PREPARED),
        (looks(container("created")), PREPARED, None, UnitState.READY),
        (looks(container("running")), PREPARED, None, UnitState.READY),
        (looks(container("exited", exit_code=1)), PREPARED, None, UnitState.READY),
        (looks(), replace(PREPARED, owned={"": OwnedContainer(id="c1")}), None, UnitState.REMOVED),
        (looks(), Progress(refused="no room"), None, UnitState.REJECTED),
    ],
)
def test_a_container_in_other_hands_is_only_prepared_for(
    seen: ObservedUnit, progress: Progress, step: Any, reached: UnitState
) -> None:
    after = remember(HANDS_OFF, seen, progress)
    assert after.state == reached
    found = next_step(HANDS_OFF, seen, after)
    assert found is None if step is None else isinstance(found, step)


@pytest.mark.parametrize(("state_seen", "healthy"), [("running", True), ("exited", False), ("paused", False)])
def test_a_container_in_other_hands_is_told_of_as_it_is(state_seen: ContainerState, healthy: bool) -> None:
    seen = looks(container(state_seen))
    report = report_of(HANDS_OFF, seen, remember(HANDS_OFF, seen, PREPARED))
    assert (report.state, report.healthy, report.containers[0].state, report.message) == (
        UnitState.READY, healthy, state_seen, "",
    )  # fmt: skip


def test_a_container_in_other_hands_goes_when_it_is_dropped() -> None:
    gone = replace(HANDS_OFF, desired=UnitDesired.REMOVED)
    assert isinstance(decide(gone, looks(container("running")), PREPARED), StopContainer)
    assert isinstance(decide(gone, looks(container("exited")), PREPARED), RemoveContainer)
