"""Exit codes, help and what is said where."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddock.cli.app import COMMANDS, run
from paddock.cli.hosts import parsed_labels
from paddock.cli.naming import containers_named
from paddock.cli.scale import parsed
from paddock.cli.up import scaled
from paddock.main.programs import PROGRAMS
from paddock.model.errors import Conflict, NotFound, UserError
from paddock.model.specs import ContainerSpec, ServiceSpec, StackSpec
from unit.cli.views import CONTAINERS, container

COMPOSE = "services:\n  web:\n    image: busybox\n    ports: ['80']\n"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("PADDOCK_", "COMPOSE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PADDOCK_CONFIG", str(tmp_path / "config.json"))
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")


def command(*arguments: str) -> int:
    return run(list(arguments), PROGRAMS)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pss"], 2, "Did you mean ps?"),
        (["ps", "--nope"], 2, "No such option"),
        (["scale"], 2, "Missing argument"),
        (["ps"], 2, "no server is known"),
        (["logs"], 2, "whose logs?"),
        (["logs", "shop", "--tail", "x"], 2, "--tail x"),
        (["stop"], 2, "which services?"),
        (["scale", "web"], 2, "web is not SERVICE=NUMBER"),
        (["config"], 2, "no compose file"),
        (["up"], 2, "no compose file"),
        (["-c", "nowhere", "ps"], 2, "there is no context"),
        (["context", "use", "nowhere"], 2, "there is no context nowhere"),
        (["exec", "-t", "web", "sh"], 2, "not a terminal"),
    ],
)
def test_bad_input(arguments: list[str], code: int, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(*arguments) == code
    told = capfd.readouterr()
    assert words in told.err
    assert told.out == ""
    assert "Traceback" not in told.err


@pytest.mark.parametrize("name", sorted({**COMMANDS, **PROGRAMS}))
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(name, "--help") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: paddock {name} ")
    assert "Examples:\n" in told
    assert f"paddock {name}" in told.split("Examples:")[1]


def _below(name: str) -> Iterator[tuple[str, ...]]:
    built = importlib.import_module({**COMMANDS, **PROGRAMS}[name].module).app.build(name)
    for inner in getattr(built, "commands", {}):
        yield name, inner


INNER = [words for name in sorted({**COMMANDS, **PROGRAMS}) for words in _below(name)]


@pytest.mark.parametrize("words", INNER, ids=" ".join)
def test_help_of_every_command_below_has_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*words, "--help") == 0
    told = capsys.readouterr().out
    assert f"paddock {' '.join(words)}" in told.partition("Examples:")[2]


def test_bash_completes_commands_and_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The script that `--install-completion` writes is given to a real bash."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert command("--install-completion") == 0
    script = tmp_path / ".local/share/bash-completion/completions/paddock"
    program = tmp_path / "paddock"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m paddock.main "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path),
    }
    for typed, offered in (("paddock he", ""), ("paddock ho", "hosts"), ("paddock hosts dr", "drain"),
                           ("paddock up --det", "--detach")):  # fmt: skip
        words = typed.split(" ")
        done = subprocess.run(
            ["bash", "-c", f'source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; '
                           '_paddock_completion paddock; echo "${COMPREPLY[@]}"'],
            env=environment, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.strip()) == (0, offered), done.stderr


def test_root_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--help") == 0
    told = capsys.readouterr().out
    for name, entry in {**COMMANDS, **PROGRAMS}.items():
        assert f"  {name} " in told
        assert entry.summary in told


def test_config_prints_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    Path("compose.yaml").write_text(COMPOSE)
    assert command("config", "--services") == 0
    assert capsys.readouterr().out == "web\n"
    assert command("config", "--images") == 0
    assert capsys.readouterr().out == "busybox\n"
    assert command("config", "-q") == 0
    assert capsys.readouterr().out == ""
    assert command("config", "-o", "out.yaml") == 0
    assert "image: busybox" in Path("out.yaml").read_text()
    assert command("config", "--hash", "nope") == 2


def test_every_problem_is_told_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("compose.yaml").write_text(f"{COMPOSE}    volumes: ['./data:/data']\n    isolation: hyperv\n")
    assert command("up", "-d") == 2
    told = capsys.readouterr().err
    assert "compose.yaml:5: services.web.volumes[0]: './data' is a path of the machine you are on" in told
    assert "compose.yaml:6: services.web.isolation: 'hyperv' is for Windows containers" in told


def test_closed_pipe_is_no_traceback() -> None:
    Path("compose.yaml").write_text(COMPOSE)
    done = subprocess.run(
        f"{sys.executable} -m paddock.main config | true",
        shell=True, capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stderr == ""


def test_names_of_containers() -> None:
    assert [view.name for view in containers_named(CONTAINERS, ["shop-job-1"])] == ["shop-job-1"]
    assert len(containers_named(CONTAINERS, ["shop/api"])) == 5
    assert len(containers_named(CONTAINERS, ["api", "shop-job-1"])) == 6
    assert len(containers_named(CONTAINERS, ["shop"])) == 6
    with pytest.raises(NotFound, match="did you mean shop-api-1"):
        containers_named(CONTAINERS, ["shop-ap-1"])
    with pytest.raises(Conflict, match="say blog/api"):
        containers_named([*CONTAINERS, container(1, stack="blog")], ["api"])


def test_wishes_are_parsed() -> None:
    assert parsed(["shop/api=3", "worker=0"]) == {"shop/api": 3, "worker": 0}
    assert parsed_labels(["zone=a", "disk-", "empty="]) == {"zone": "a", "disk": None, "empty": ""}
    for bad in ("zone", "=a", "-"):
        with pytest.raises(UserError):
            parsed_labels([bad])


def test_scale_of_up() -> None:
    def one(**changes: object) -> ServiceSpec:
        return ServiceSpec(name="web", container=ContainerSpec(image="busybox"), **changes)  # type: ignore[arg-type]

    spec = StackSpec(name="shop", services={"web": one(), "all": one(mode="global"), "db": one(container_name="db")})
    assert scaled(spec, ("web=4",)).services["web"].replicas == 4
    for bad in ("web", "web=x", "nope=1", "all=2", "db=2"):
        with pytest.raises(UserError):
            scaled(spec, (bad,))
