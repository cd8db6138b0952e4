"""What a cluster cannot honour is said before anything starts, all of it at once."""

from __future__ import annotations

from typing import Any

import pytest

from paddock.core.stack import Sources, Translated, stack_spec
from paddock.model.errors import Invalid, Problem


class Written:
    """Origins that know some paths as they were written; everything is on line 7 of compose.yaml."""

    def __init__(self, written: dict[tuple[str | int, ...], str]) -> None:
        self.paths = written

    def place(self, path: tuple[str | int, ...]) -> tuple[str, int]:
        del path
        return "compose.yaml", 7

    def written(self, path: tuple[str | int, ...]) -> str:
        return self.paths.get(path, "")


def missing(path: str) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", path)


def model(**service: Any) -> dict[str, Any]:
    web = {"image": "busybox", "command": None, "entrypoint": None, "networks": {"default": None}} | service
    return {"name": "shop", "services": {"web": web}, "networks": {"default": {"name": "shop_default", "ipam": {}}}}


def translate(document: dict[str, Any], **sources: Any) -> Translated:
    return stack_spec(document, Sources(**({"read_file": missing} | sources)))


def problems(document: dict[str, Any], **sources: Any) -> tuple[Problem, ...]:
    with pytest.raises(Invalid) as caught:
        translate(document, **sources)
    return caught.value.problems


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"image": None}, "services.web.image", "is missing"),
    ({"credential_spec": {"file": "x.json"}}, "services.web.credential_spec", "Windows"),
    ({"isolation": "hyperv"}, "services.web.isolation", "Windows"),
    ({"provider": {"type": "awesomecloud"}}, "services.web.provider", "plugin"),
    ({"external_links": ["redis_1:redis"]}, "services.web.external_links", "outside the stack"),
    ({"models": {"llm": None}}, "services.web.models", "model runner"),
    ({"post_start": [{"command": ["true"]}]}, "services.web.post_start", "outside after the start"),
    ({"container_name": "one", "scale": 2}, "services.web.container_name", "only one container"),
    ({"container_name": "one", "deploy": {"mode": "global"}}, "services.web.container_name", "one on every host"),
    ({"scale": 2, "deploy": {"replicas": 3}}, "services.web.scale", "deploy.replicas is 3"),
    ({"deploy": {"mode": "global", "replicas": 3}}, "services.web.deploy.replicas", "every host"),
    ({"deploy": {"mode": "globl"}}, "services.web.deploy.mode", "not known"),
    ({"scale": 2, "mac_address": "02:42:ac:11:65:44"}, "services.web.mac_address", "only one container"),
    ({"scale": 2, "networks": {"default": {"ipv4_address": "10.1.1.1"}}},
     "services.web.networks.default.ipv4_address", "only one container"),
    ({"restart": "sometimes"}, "services.web.restart", "not a restart policy"),
    ({"restart": "always", "deploy": {"mode": "replicated-job"}}, "services.web.restart", "a job ends"),
    ({"deploy": {"restart_policy": {"condition": "on-fail"}}}, "services.web.deploy.restart_policy.condition", "known"),
    ({"deploy": {"update_config": {"order": "start-frist"}}}, "services.web.deploy.update_config.order", "not one of"),
    ({"deploy": {"rollback_config": {"failure_action": "rollback"}}},
     "services.web.deploy.rollback_config.failure_action", "not one of"),
    ({"container_name": "one", "deploy": {"update_config": {"order": "start-first"}}},
     "services.web.deploy.update_config.order", "same container_name"),
    ({"deploy": {"placement": {"constraints": ["node.labels.zone=a"]}}},
     "services.web.deploy.placement.constraints[0]", "not KEY==VALUE"),
    ({"deploy": {"placement": {"constraints": ["node.hostnme==a"]}}},
     "services.web.deploy.placement.constraints[0]", "not an attribute"),
    ({"deploy": {"resources": {"reservations": {"generic_resources": [{"discrete_resource_spec": {"kind": "gpu"}}]}}}},
     "services.web.deploy.resources.reservations.generic_resources", "own kind"),
    ({"x-paddock": {"placement": {"affinities": ["near db"]}}},
     "services.web.x-paddock.placement.affinities[0]", "near"),
    ({"x-paddock": {"placement": {"strategy": "pack"}}}, "services.web.x-paddock.placement.strategy", "not known"),
    ({"network_mode": "slirp"}, "services.web.network_mode", "not known"),
    ({"network_mode": "service:db", "ports": [{"target": 80}]}, "services.web.ports", "cannot publish"),
    ({"volumes": [{"type": "npipe", "source": "x", "target": "y"}]}, "services.web.volumes[0]", "npipe"),
    ({"volumes": [{"type": "bind", "source": "C:\\data", "target": "/y"}]}, "services.web.volumes[0]", "absolute path"),
    ({"security_opt": ["seccomp=/srv/shop/none.json"]}, "services.web.security_opt[0]", "cannot read"),
    ({"security_opt": ["nonsense"]}, "services.web.security_opt[0]", "not NAME=VALUE"),
    ({"secrets": [{"source": "x", "uid": "postgres"}]}, "services.web.secrets[0].uid", "not a number"),
    ({"stop_grace_period": "soon"}, "services.web", "not a duration"),
    ({"labels": {"io.rancher.sidekicks": "data"}}, "services.web.labels.io.rancher.sidekicks", "not another service"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "field", "words"), REFUSED, ids=[f"{row[1]}-{i}" for i, row in enumerate(REFUSED)])
def test_refused(service: dict[str, Any], field: str, words: str) -> None:
    (problem,) = problems(model(**service))
    assert problem.field == field
    assert words in str(problem)


def test_nearest_word_is_suggested() -> None:
    (problem,) = problems(model(deploy={"mode": "globl"}))
    assert problem.hint == "did you mean 'global'?"


def test_directory_of_the_client_is_refused_with_its_place() -> None:
    bind = {"type": "bind", "source": "/srv/shop/data", "target": "/data", "bind": {"create_host_path": True}}
    origins = Written({("services", "web", "volumes", 0, "source"): "./data"})
    (problem,) = problems(model(volumes=[bind]), origins=origins)
    assert (problem.file, problem.line, problem.field) == ("compose.yaml", 7, "services.web.volumes[0]")
    assert "'./data' is a path of the machine you are on" in problem.message
    assert "named volume" in problem.hint


def test_absolute_path_means_that_path_on_the_host() -> None:
    bind = {"type": "bind", "source": "/srv/data", "target": "/data", "bind": {"create_host_path": True}}
    container = translate(model(volumes=[bind])).spec.services["web"].container
    assert container.config["HostConfig"]["Binds"] == ["/srv/data:/data:rw"]


def test_volume_on_a_directory_of_the_client_is_refused() -> None:
    document = model() | {"volumes": {"data": {"name": "shop_data", "driver_opts": {"o": "bind", "device": "/srv/x"}}}}
    (problem,) = problems(document, origins=Written({("volumes", "data", "driver_opts", "device"): "./x"}))
    assert problem.field == "volumes.data.driver_opts.device"


def test_all_problems_at_once() -> None:
    found = problems(model(restart="x", isolation="hyperv", network_mode="slirp", credential_spec={"file": "a"}))
    assert {problem.field.rpartition(".")[2] for problem in found} == {
        "restart", "isolation", "network_mode", "credential_spec",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("network", "field"),
    [
        ({"driver": "macvlan"}, "networks.back.driver"),
        ({"ipam": {"driver": "dhcp"}}, "networks.back.ipam.driver"),
        ({"ipam": {"config": [{"subnet": "10.1.0.0/16", "aux_addresses": {"r": "10.1.0.9"}}]}},
         "networks.back.ipam.config[0].aux_addresses"),
        ({"ipam": {"config": [{"subnet": "10.1/x"}]}}, "networks.back.ipam.config[0].subnet"),
    ],
)  # fmt: skip
def test_networks_refused(network: dict[str, Any], field: str) -> None:
    document = model()
    document["networks"]["back"] = {"name": "shop_back"} | network
    (problem,) = problems(document)
    assert problem.field == field


@pytest.mark.parametrize(
    ("section", "declared", "words"),
    [
        ("secrets", {"file": "/srv/shop/none"}, "cannot read /srv/shop/none: No such file"),
        ("secrets", {"environment": "UNSET"}, "UNSET is not set"),
        ("configs", {"driver": "vault", "content": "x"}, "drivers are not supported"),
        ("configs", {}, "says neither"),
        ("configs", {"content": "x" * (1024 * 1024 + 1)}, "1048577 bytes"),
    ],
)
def test_files_refused(section: str, declared: dict[str, Any], words: str) -> None:
    (problem,) = problems(model() | {section: {"thing": {"name": "shop_thing"} | declared}})
    assert problem.field.startswith(f"{section}.thing")
    assert words in str(problem)


WARNED: list[tuple[dict[str, Any], str]] = [
    ({"develop": {"watch": [{"path": "."}]}}, "services.web.develop: is for `docker compose watch`"),
    ({"network_mode": "host", "ports": [{"target": 80}]}, "services.web.ports: has no effect with network_mode host"),
    ({"deploy": {"placement": {"constraints": ["node.role == manager"]}}}, "'node.role == manager' has no effect"),
    ({"deploy": {"endpoint_mode": "vip"}}, "no virtual address"),
    ({"pull_policy": "daily"}, "'daily' is taken as always"),
    ({"shiny_new_key": 1}, "services.web.shiny_new_key: is not supported and has no effect"),
    ({"labels": {"io.rancher.scheduler.affinity:not_host_label": "a=b"}}, "is not a rule that Rancher 1.x had"),
]


@pytest.mark.parametrize(("service", "words"), WARNED)
def test_told(service: dict[str, Any], words: str) -> None:
    warnings = translate(model(**service)).warnings
    assert words in "\n".join(warnings)
    assert len(warnings) == 1
