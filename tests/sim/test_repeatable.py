from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paddock.sim import __main__ as command
from paddock.sim.run import simulate
from paddock.sim.scenario import Scenario, load, names

SHORT = """
import msgspec
from paddock.sim.run import simulate
from paddock.sim.scenario import load
outcome = simulate("mixed", msgspec.structs.replace(load("mixed"), storm_s=45.0), 9)
print(outcome.digest, outcome.commits)
"""


def traced(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SHORT], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_a_seed_is_the_same_story_whatever_the_hashes() -> None:
    stories = {traced(hash_seed) for hash_seed in ("0", "1", "4711")}
    assert len(stories) == 1, stories


def test_every_scenario_can_be_read() -> None:
    assert {"mixed", "servers", "hosts", "rollouts"} <= set(names())
    for name in names():
        assert load(name).faults, name


def test_a_failure_says_its_seed_and_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paddock.sim.run.HEAL_WITHIN_S", 1.0)
    assert command.main(["--seeds", "7", "--scenario", "servers", "--stop"]) == 1
    said = capsys.readouterr().out
    assert "python -m paddock.sim --seed 7 --scenario servers" in said
    assert "FAILED servers seed 7" in said


def test_a_set_that_never_reaches_a_rare_state_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    nothing_goes_wrong = Scenario(
        about="", hosts=1, storm_s=5.0, operators={"up": 1}, faults={"touch-kernel": 1}, probes=("server killed",)
    )
    outcome = simulate("calm", nothing_goes_wrong, 1)
    assert not outcome.wrongs
    missing = command.not_reached("calm", nothing_goes_wrong, outcome.probes)
    assert missing == ["calm never reached: server killed"]
