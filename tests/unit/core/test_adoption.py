"""Compose projects taken over: what becomes of which container, what is left alone, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from paddock.core.adoption import Adoption, SeenContainer, SeenProject, adopt
from paddock.core.assignment import assignment
from paddock.core.commands import remove_host, remove_stack, scale
from paddock.core.lifecycle import next_step, remember
from paddock.core.standalone import volume_named, wish
from paddock.model.assignment import ContainerAssignment, Endpoint, NetworkAssignment, UnitAssignment, VolumeAssignment
from paddock.model.changes import Put
from paddock.model.errors import Conflict
from paddock.model.objects import HostId, Network, NetworkId, Service, UnitDesired, UnitId, UnitState, Volume
from paddock.model.observed import ContainerState, ObservedContainer, ObservedUnit, Progress
from paddock.model.specs import Attachment, NetworkSpec, Placement, PortSpec, StackSpec, VolumeMount, VolumeSpec
from paddock.model.steps import ConnectNetwork
from paddock.server.adopting import seen_projects
from pretend_cluster import ENVIRONMENT, Cluster, make_service, make_stack


def container(service: str, number: int = 1, **fields: Any) -> SeenContainer:
    name = f"shop-{service}-{number}"
    there = SeenContainer(id=f"{name}-id", name=name, service=service, number=number, state="running")
    return msgspec.structs.replace(there, **fields)


def seen(*containers: SeenContainer, host: str = "h2") -> SeenProject:
    return SeenProject(
        name="shop", host=HostId(f"host-{host}"), containers=containers, networks=("bridge", "shop_default"),
        volumes=("shop_data",),
    )  # fmt: skip


def files(**fields: Any) -> StackSpec:
    on = (Attachment(network="default"),)
    web = make_service("web", replicas=2, networks=on, volumes=(VolumeMount(volume="data", target="/d"),), **fields)
    job = make_service("job", networks=on)
    return make_stack(
        web, job, networks={"default": NetworkSpec(name="shop_default")}, volumes={"data": VolumeSpec(name="shop_data")}
    )


def adopted(cluster: Cluster, spec: StackSpec, project: SeenProject) -> Adoption:
    found = adopt(cluster.snapshot, spec, project, cluster.now_s)
    cluster.commit(found.changes)
    cluster.decide()
    return found


def test_units_are_bound_to_what_runs() -> None:
    cluster = Cluster.checked()
    found = adopted(cluster, files(), seen(container("web", 2), container("web"), container("job", state="exited")))
    assert [(unit.name, unit.slot, unit.adopts) for unit in cluster.live()] == [
        ("shop-web-1", 1, "shop-web-1-id"), ("shop-web-2", 2, "shop-web-2-id"),
    ]  # fmt: skip
    assert cluster.where() == ["h2", "h2"]
    assert cluster.where("job") == ["h2"]
    items = assignment(cluster.snapshot, HostId("host-h2")).values()
    told = {item.containers[0].name: item.containers[0] for item in items if isinstance(item, UnitAssignment)}
    assert {name: one.adopts for name, one in told.items()} == {name: f"{name}-id" for name in told}
    network = next(item for item in items if isinstance(item, NetworkAssignment))
    assert network.engine_name == "shop_default-cluster"
    assert [item.engine_name for item in items if isinstance(item, VolumeAssignment)] == ["shop_data"]
    volume = cluster.snapshot.named(Volume, ENVIRONMENT, "shop_data")
    assert volume is not None
    assert volume.host == "host-h2"
    assert len(found.notes) == 1
    assert "join the cluster's network" in found.notes[0]
    assert {change.object.id for change in found.plan} >= {unit.id for unit in found.units}
    assert {unit.desired for unit in found.units} == {UnitDesired.RUN}


def test_the_same_files_change_nothing_afterwards() -> None:
    cluster = Cluster.checked()
    adopted(cluster, files(), seen(container("web"), container("web", 2), container("job")))
    before = cluster.snapshot.version
    cluster.up(files())
    assert cluster.snapshot.version == before


def test_what_is_not_as_in_the_files_is_told() -> None:
    cluster = Cluster.checked()
    stack = files(config={"Labels": {"com.docker.compose.config-hash": "new"}})
    found = adopted(
        cluster,
        stack,
        seen(
            container("web", config_hash="old"),
            container("web", 3),
            container("web", 4),
            container("web", 9, oneoff=True),
            container("web", 5, state="created"),
            container("gone"),
        ),
    )
    assert [unit.name for unit in cluster.live()] == ["shop-web-1", "shop-web-3", "shop-web-4"]
    assert [unit.slot for unit in cluster.live()] == [1, 2, 3]
    for words in (
        "shop-web-9 is left alone: `docker compose run` made it", "shop-gone-1 is left alone", "it is created",
        "web runs 3, not 2", "shop-web-1: started from other files", "job has no container here: 1 will be made",
    ):  # fmt: skip
        assert any(words in note for note in found.notes), (words, found.notes)


@pytest.mark.parametrize(
    ("project", "why"),
    [
        (seen(container("other")), "no container of project shop on h2 belongs to a service"),
        (seen(container("web", name="taken")), "the name taken is in use"),
        (seen(container("web"), host="h1"), "volume shop_data of the cluster is on another host"),
        (seen(container("web"), host="h9"), "the host of project shop is gone"),
    ],
)
def test_what_cannot_be_adopted(project: SeenProject, why: str) -> None:
    cluster = Cluster.checked()
    other = make_service("taken", mode="standalone", container_name="taken")
    cluster.commit(wish(cluster.snapshot, ENVIRONMENT, other, cluster.now_s))
    cluster.decide()
    if project.host == "host-h1":
        volume, _ = volume_named(cluster.snapshot, ENVIRONMENT, "shop_data", cluster.now_s)
        cluster.commit([Put(object=msgspec.structs.replace(volume, host=HostId("host-h2")), reason="test")])
    with pytest.raises(Conflict, match=why):
        adopt(cluster.snapshot, files(), project, cluster.now_s)


def test_a_stack_of_the_name_is_not_touched() -> None:
    cluster = Cluster.checked()
    cluster.up(files())
    with pytest.raises(Conflict, match="there is a stack shop already"):
        adopt(cluster.snapshot, files(), seen(container("web")), cluster.now_s)


def test_what_could_not_be_placed_where_it_is_is_refused_whole() -> None:
    cluster = Cluster.checked()
    cluster.set_host("h2", availability="drained")
    with pytest.raises(Conflict, match=r"shop-job-1 cannot be adopted where it is: .*drained"):
        adopt(cluster.snapshot, files(ports=(PortSpec(target=80),)), seen(container("job")), cluster.now_s)


def test_a_later_unit_has_new_containers() -> None:
    cluster = Cluster.checked()
    adopted(cluster, files(), seen(container("web"), container("web", 2), container("job")))
    cluster.settle()
    changed = files(config={"Cmd": ["other"]})
    cluster.up(changed)
    cluster.settle()
    assert [(unit.generation, unit.adopts) for unit in cluster.running()] == [(2, ""), (2, "")]
    network = cluster.snapshot.named(Network, ENVIRONMENT, "shop_default")
    assert network is not None
    assert network.on_engines == "shop_default-cluster"


# What its host was lost with


def to_be_removed(cluster: Cluster, host: str) -> list[str]:
    items = [item for item in cluster.assignment(host).values() if isinstance(item, UnitAssignment)]
    return [item.containers[0].name for item in items if item.desired == UnitDesired.REMOVED]


def job_runs_on_h2(*, was_there: bool) -> Cluster:
    """The project's job: a container that was there, or one that is made for it."""
    cluster = Cluster.checked()
    if was_there:
        adopted(cluster, files(), seen(container("job")))
    else:
        cluster.up(make_stack(make_service("job", placement=Placement(constraints=("node.hostname==h2",)))))
    cluster.settle()
    return cluster


def end_stack(cluster: Cluster) -> None:
    cluster.commit(remove_stack(cluster.snapshot, ENVIRONMENT, "shop"))
    cluster.decide()


@pytest.mark.parametrize("moved", [True, False])
def test_the_container_of_one_given_up_is_removed_by_its_host(moved: bool) -> None:
    """It has no label to be known by: only the assignment can say whose it is."""
    cluster = job_runs_on_h2(was_there=True)
    if moved:
        cluster.lose("h2")
        cluster.settle()
        assert cluster.where("job") == ["h1"]
        assert to_be_removed(cluster, "h2") == ["shop-job-1"]
        cluster.pass_time(3600.0)
        end_stack(cluster)
    else:
        end_stack(cluster)
        cluster.lose("h2")
    cluster.settle()
    assert [unit.state for unit in cluster.units("job")] == [UnitState.ORPHANED]
    cluster.bring_back("h2")
    assert to_be_removed(cluster, "h2") == ["shop-job-1"]
    assert cluster.service("job").removing
    cluster.settle()
    assert to_be_removed(cluster, "h2") == []
    assert not cluster.snapshot.table(Service)


def test_while_its_service_stays_it_stays_until_it_is_reported_gone() -> None:
    cluster = job_runs_on_h2(was_there=True)
    cluster.lose("h2")
    cluster.settle()
    cluster.bring_back("h2")
    left, successor = cluster.units("job")
    assert (left.state, left.adopts) == (UnitState.ORPHANED, "shop-job-1-id")
    assert to_be_removed(cluster, "h2") == ["shop-job-1"]
    cluster.report(left, UnitState.REMOVED)
    cluster.decide()
    assert cluster.units("job") == [successor]
    assert to_be_removed(cluster, "h2") == []


def test_a_slot_that_is_not_wanted_any_more_is_kept_for_it() -> None:
    cluster = Cluster.checked()
    adopted(cluster, files(), seen(container("job"), container("job", 2)))
    cluster.settle()
    cluster.commit(scale(cluster.snapshot, cluster.service("job"), 1))
    cluster.decide()
    cluster.lose("h2")
    cluster.settle()
    cluster.bring_back("h2")
    assert to_be_removed(cluster, "h2") == ["shop-job-1", "shop-job-2"]
    cluster.settle()
    assert to_be_removed(cluster, "h2") == []
    assert [unit.slot for unit in cluster.units("job")] == [1]


def test_it_is_not_waited_for_once_its_host_is_taken_out() -> None:
    cluster = job_runs_on_h2(was_there=True)
    end_stack(cluster)
    cluster.lose("h2")
    cluster.settle()
    assert cluster.service("job").removing
    cluster.commit(remove_host(cluster.snapshot, cluster.host("h2"), force=True))
    cluster.decide()
    assert not cluster.snapshot.table(Service)


def test_one_that_has_our_label_is_not_waited_for() -> None:
    cluster = job_runs_on_h2(was_there=False)
    end_stack(cluster)
    cluster.lose("h2")
    cluster.settle()
    assert to_be_removed(cluster, "h2") == []
    assert not cluster.snapshot.table(Service)


# On the host


def asked() -> UnitAssignment:
    endpoint = Endpoint(network=NetworkId("n"), ipv4="10.0.0.2", mac="02:42:0a:00:00:02")
    taken = ContainerAssignment(name="web", image="busybox", adopts="c1", endpoints=(endpoint,))
    return UnitAssignment(unit=UnitId("u"), desired=UnitDesired.RUN, containers=(taken,))


def observed(state: ContainerState, networks: tuple[str, ...], code: int | None = None) -> ObservedUnit:
    there = ObservedContainer(
        id="c1", name="web", state=state, started_at_s=5.0, exit_code=code,
        networks=dict.fromkeys(networks, "10.0.0.2"),
    )  # fmt: skip
    return ObservedUnit(containers=(there,), networks={NetworkId("n"): "default-cluster"})


def test_one_that_runs_is_joined_and_left_running() -> None:
    item = asked()
    outside, inside = observed("running", ("default",)), observed("running", ("default", "default-cluster"))
    progress = remember(item, outside, Progress())
    assert progress.state == UnitState.RUNNING
    step = next_step(item, outside, progress)
    assert isinstance(step, ConnectNetwork)
    assert (step.container, step.network, step.ipv4) == ("c1", "default-cluster", "10.0.0.2")
    assert next_step(item, inside, progress) is None


@pytest.mark.parametrize(("code", "state"), [(0, UnitState.COMPLETE), (3, UnitState.FAILED)])
def test_one_that_ended_before_has_ended(code: int, state: UnitState) -> None:
    seen_there = observed("exited", ("default",), code)
    progress = remember(asked(), seen_there, Progress())
    assert progress.state == state
    assert next_step(asked(), seen_there, progress) is None


# What engines say


def test_projects_are_read_from_labels() -> None:
    def listed(id: str, **labels: str) -> dict[str, Any]:
        told = {
            f"com.docker.compose.{key.replace('__', '.').replace('_', '-')}": value for key, value in labels.items()
        }
        return {"Id": id, "Names": [f"/{id}"], "State": "running", "Image": "a", "Labels": told}

    containers = [
        listed("c1", project="shop", service="web", container_number="2", oneoff="False"),
        listed("c2", project="shop", service="web", container_number="x", oneoff="True"),
        {**listed("c3", project="shop"), "Labels": {"com.docker.compose.project": "shop", "io.paddock.unit": "u"}},
        listed("c4", project="other"),
    ]
    containers[0]["Labels"]["com.docker.compose.project.config_files"] = "/a.yaml,/b.yaml"
    containers[0]["Labels"]["com.docker.compose.project.working_dir"] = "/here"
    networks: list[dict[str, Any]] = [{"Name": "shop_default"}, {"Name": "ours", "Labels": {"io.paddock.network": "n"}}]
    found = seen_projects(HostId("h"), containers, networks, {"Volumes": None})
    assert [(one.name, len(one.containers)) for one in found] == [("shop", 2), ("other", 1)]
    shop = found[0]
    assert (shop.files, shop.directory, shop.networks) == (("/a.yaml", "/b.yaml"), "/here", ("shop_default",))
    assert [(one.id, one.number, one.oneoff) for one in shop.containers] == [("c1", 2, False), ("c2", 1, True)]
