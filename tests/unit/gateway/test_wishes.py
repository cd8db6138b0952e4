"""Create bodies read, classic Swarm's words taken out, filters in both encodings, rights."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.core.powers import powers_asked
from paddock.core.standalone import HOME_NETWORK
from paddock.gateway.classic import holds, taken_out
from paddock.gateway.filters import encode_filters, labels_match, parse_filters
from paddock.gateway.names import checked_name
from paddock.gateway.problems import ApiProblem
from paddock.gateway.shapes import Container, check_shape
from paddock.gateway.wishes import Wish, attachments, for_engine, leans_on, network_mode, service_spec, with_partners
from paddock.model.images import HeldImage
from paddock.model.objects import Host, HostFacts
from paddock.model.specs import Attachment, Placement, PortSpec, VolumeMount

HOSTS = [
    Host(id="host-1", environment="e", name="h1", labels={"storage": "ssd"}),
    Host(id="host-2", environment="e", name="h2", facts=HostFacts(engine_labels={"zone": "b"})),
]


@pytest.mark.parametrize("text", ['{"label":{"a=b":true,"c":false}}', '{"label":["a=b"]}', '{"label":"a=b"}'])
def test_filters_in_every_encoding(text: str) -> None:
    assert parse_filters(text) == {"label": ["a=b"]}


@pytest.mark.parametrize("text", ["", "{}", "null"])
def test_no_filters(text: str) -> None:
    assert parse_filters(text) == {}


@pytest.mark.parametrize("text", ["x", "[]", "3", '{"a": 3}', '{"a": null}'])
def test_filters_that_are_none(text: str) -> None:
    with pytest.raises(ApiProblem) as refusal:
        parse_filters(text)
    assert refusal.value.status == 400


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=5), unique=True, max_size=3), max_size=4))
def test_filters_come_back_from_what_engines_are_sent(filters: dict[str, list[str]]) -> None:
    assert parse_filters(encode_filters(filters)) == filters


@given(st.text(max_size=60))
def test_filters_of_any_text_are_read_or_refused(text: str) -> None:
    try:
        found = parse_filters(text)
    except ApiProblem:
        return
    assert all(isinstance(value, str) for values in found.values() for value in values)


def test_labels() -> None:
    labels = {"a": "b", "c": ""}
    assert labels_match({"label": ["a", "c"]}, labels)
    assert labels_match({"label": ["a=b"]}, labels)
    assert not labels_match({"label": ["a=c"]}, labels)
    assert not labels_match({"label!": ["a"]}, labels)


@pytest.mark.parametrize(
    ("env", "constraints", "affinities"),
    [
        ("constraint:node==h1", ("node.hostname==h1",), ()),
        ("constraint:node==/h[12]/", ("node.hostname==/h[12]/",), ()),
        ("constraint:node==~h1", ("node.hostname==~h1",), ()),
        ("constraint:storage!=ssd", ("node.labels.storage!=ssd",), ()),
        ("constraint:zone==b", ("engine.labels.zone==b",), ()),
        ("constraint:node.labels.x==y", ("node.labels.x==y",), ()),
        ("constraint:operatingsystem==*debian*", ("node.platform.os==*debian*",), ()),
        ("constraint:kernelversion==6*", ("node.kernel==6*",), ()),
        ("affinity:container==web", (), ("container==web",)),
        ("affinity:image!=~redis", (), ("image!=~redis",)),
        ("affinity:com.example.kind==front", (), ("label:com.example.kind==front",)),
        ("affinity:label==z", (), ("label:label==z",)),
    ],
)
def test_classic_words_in_the_environment(env: str, constraints: tuple[str, ...], affinities: tuple[str, ...]) -> None:
    body = {"Image": "a", "Env": ["A=constraint:x==y", env, "constraint:not"]}
    left, placement, reschedule = taken_out(body, HOSTS)
    assert reschedule == ""
    assert placement == Placement(constraints=constraints, affinities=affinities)
    assert left["Env"] == ["A=constraint:x==y", "constraint:not"]
    assert len(body["Env"]) == 3


def test_classic_words_in_labels() -> None:
    body = {
        "Labels": {
            "com.docker.swarm.constraints": '["storage==ssd"]',
            "com.docker.swarm.affinities": '["container!=web"]',
            "mine": "yes",
        }
    }
    left, placement, _ = taken_out(body, HOSTS)
    assert left["Labels"] == {"mine": "yes"}
    assert placement == Placement(constraints=("node.labels.storage==ssd",), affinities=("container!=web",))


@pytest.mark.parametrize(
    ("body", "policy"),
    [
        ({"Env": ["reschedule:on-node-failure", "A=b"]}, "on-node-failure"),
        (
            {"Env": ["A=b"], "Labels": {"com.docker.swarm.reschedule-policies": '["on-node-failure"]'}},
            "on-node-failure",
        ),
        ({"Env": ["reschedule:off", "A=b"]}, ""),
        ({"Env": ["A=b"]}, ""),
    ],
)
def test_what_becomes_of_it_when_its_host_is_lost(body: dict[str, Any], policy: str) -> None:
    left, _, reschedule = taken_out(body, HOSTS)
    assert reschedule == policy
    assert (left["Env"], left.get("Labels") or {}) == (["A=b"], {})
    wished = Wish(name="x", body=left, placement=Placement(), reschedule=reschedule)
    assert service_spec(wished).reschedule == policy


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("redis", True), ("redis:7", True), ("redis:8", False), ("re*", True), ("/^red/", True), ("1234567890", True),
        ("sha256:123456", True), ("12345", False), ("5000/redis", False), ("here:5000/redis", True), ("here", False),
    ],
)  # fmt: skip
def test_what_an_image_goes_by(value: str, fits: bool) -> None:
    assert holds(HeldImage(id="sha256:1234567890ab", names=("redis:7", "here:5000/redis:7")), value) is fits


def test_exposed_ports_on_the_hosts_own_network_are_taken_there() -> None:
    body = {"ExposedPorts": {"80/tcp": {}, "90-95/tcp": {}}, "HostConfig": {"NetworkMode": "host"}}
    assert service_spec(Wish(name="x", body=body, placement=Placement())).container.ports == (
        PortSpec(target=80, published="80"),
    )


@pytest.mark.parametrize(
    "body",
    [
        {"Labels": {"com.docker.swarm.constraints": "x"}},
        {"Env": ["constraint:node==/(/"]},
        {"Env": ["reschedule:now"]},
    ],
)
def test_classic_words_nobody_understands(body: dict[str, Any]) -> None:
    with pytest.raises(ApiProblem) as refusal:
        taken_out(body, HOSTS)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("host", "endpoints", "mode", "networks"),
    [
        ({}, {}, "", [HOME_NETWORK]),
        ({"NetworkMode": "default"}, {"default": {}}, "", [HOME_NETWORK]),
        ({"NetworkMode": "default"}, {"front": {}}, "", ["front"]),
        ({"NetworkMode": "front"}, {"back": {}, "front": {}}, "", ["front", "back"]),
        ({"NetworkMode": "host"}, {}, "host", None),
        ({"NetworkMode": "bridge"}, {}, "bridge", None),
        ({"NetworkMode": "container:x"}, {}, "container:x", None),
    ],
)
def test_networks_asked_for(
    host: dict[str, Any], endpoints: dict[str, Any], mode: str, networks: list[str] | None
) -> None:
    body = {"HostConfig": host, "NetworkingConfig": {"EndpointsConfig": endpoints}}
    assert network_mode(body) == mode
    if networks is not None:
        assert [one.network for one in attachments(body)] == networks


def test_an_endpoint_says_addresses_and_aliases() -> None:
    endpoint = {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.1.0.9"}, "MacAddress": "02:00:00:00:00:01"}
    body = {"HostConfig": {"NetworkMode": "n"}, "NetworkingConfig": {"EndpointsConfig": {"n": endpoint}}}
    assert attachments(body) == (
        Attachment(network="n", aliases=("a",), ipv4_address="10.1.0.9", mac_address="02:00:00:00:00:01"),
    )


def test_what_the_scheduler_has_to_know() -> None:
    host = {
        "Binds": ["data:/d:ro", "/etc:/e", "plain"],
        "Mounts": [
            {"Type": "volume", "Source": "more", "Target": "/m"},
            {"Type": "bind", "Source": "/x", "Target": "/y"},
        ],
        "PortBindings": {"80/tcp": [{"HostPort": "8080", "HostIp": ""}], "53/udp": [{}], "9": None},
        "MemoryReservation": 64,
    }
    spec = service_spec(Wish(name="web", body={"Image": "i", "HostConfig": host}, placement=Placement()))
    assert spec.mode == "standalone"
    assert spec.container_name == "web"
    assert spec.container.volumes == (
        VolumeMount(volume="data", target="/d", read_only=True),
        VolumeMount(volume="more", target="/m"),
    )
    assert spec.container.ports == (PortSpec(target=80, published="8080"), PortSpec(target=53, protocol="udp"))
    assert spec.reservation.memory_bytes == 64


def test_whom_a_container_leans_on() -> None:
    host = {
        "NetworkMode": "container:a",
        "IpcMode": "container:b",
        "PidMode": "host",
        "VolumesFrom": ["c:ro", "d"],
    }
    body = {"HostConfig": host}
    assert leans_on(body) == ["a", "b", "c", "d"]
    ids = {name: name * 64 for name in "abcd"}
    changed = with_partners(body, ids)["HostConfig"]
    assert changed["NetworkMode"] == f"container:{'a' * 64}"
    assert changed["PidMode"] == "host"
    assert changed["VolumesFrom"] == [f"{'c' * 64}:ro", "d" * 64]
    assert host["VolumesFrom"] == ["c:ro", "d"]


def test_the_engine_hears_of_no_one_who_is_on_another_host() -> None:
    body = {"Image": "i", "HostConfig": {"VolumesFrom": ["c:ro", "d"], "Memory": 5}}
    wish = Wish(name="web", body=body, placement=Placement(), without=("c",))
    assert for_engine(wish) == {"Image": "i", "HostConfig": {"VolumesFrom": ["d"], "Memory": 5}}
    assert for_engine(Wish(name="web", body=body, placement=Placement())) == body
    assert service_spec(wish).container.config == body


@pytest.mark.parametrize("name", ["ab", "/ab", "a-b_c.d", "A1"])
def test_names_that_are_allowed(name: str) -> None:
    assert checked_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["a", "-ab", "a b", "ab/c", "", "ä1"])
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(ApiProblem):
        checked_name(name)


def volume_of(**options: str) -> dict[str, Any]:
    return {"Mounts": [{"Type": "volume", "VolumeOptions": {"DriverConfig": {"Options": options}}}]}


@pytest.mark.parametrize(
    ("host", "powerful"),
    [
        ({}, False),
        ({"Binds": ["data:/d"]}, False),
        ({"Binds": ["/:/host"]}, True),
        ({"Mounts": [{"Type": "bind", "Source": "/", "Target": "/h"}]}, True),
        ({"Privileged": True}, True),
        ({"PidMode": "host"}, True),
        ({"NetworkMode": "host"}, True),
        ({"Devices": [{"PathOnHost": "/dev/sda"}]}, True),
        ({"CapAdd": ["SYS_ADMIN"]}, True),
        (volume_of(device="/etc"), True),
        (volume_of(type="nfs", device=":/x"), False),
        (volume_of(type="tmpfs", device="tmpfs", o="size=1m"), False),
        (volume_of(type="none", device="etc", o="ro,bind"), True),
        (volume_of(type="nfs", device="/", o="bind"), True),
        ({"MaskedPaths": []}, True),
        ({"MaskedPaths": None}, False),
    ],
)
def test_powers_over_the_host(host: dict[str, Any], powerful: bool) -> None:
    assert bool(powers_asked(host)) is powerful


KEYS = (
    "Image", "Env", "Labels", "HostConfig", "NetworkingConfig", "EndpointsConfig", "Binds", "Mounts", "PortBindings",
    "NetworkMode", "IPAMConfig", "Links", "VolumesFrom", "MemoryReservation", "Aliases", "front", "80/tcp",
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "/a:/b", "container:x", "v:/d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=16,
)


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6))
def test_a_body_of_any_shape_is_read_or_refused(body: dict[str, Any]) -> None:
    with contextlib.suppress(ApiProblem):
        check_shape(body, Container)
        left = taken_out(body, HOSTS).body
        leans_on(left)
        powers_asked(left.get("HostConfig") or {})
        assert service_spec(Wish(name="web", body=left, placement=Placement())).container_name == "web"
