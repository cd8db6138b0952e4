"""An agent that may be the copy of another, on a simulated engine: when it acts, and when it does not."""

from __future__ import annotations

import asyncio

import pytest

from paddock.agent.ledger import Ledger
from paddock.model.assignment import ContainerAssignment, UnitAssignment
from paddock.model.errors import Transient
from paddock.model.objects import UnitDesired, UnitId
from paddock.server.session import Peer
from paddock.sim.link import SimulatedChannel, Weather, connect
from paddock.sim.loop import run
from paddock.sim.machine import LEDGER, KeyInMemory, Machine
from paddock.sim.stage import Stage
from paddock.wire.messages import Assign, FromServer, Goodbye, Welcome, encode

LONG_S = 120.0
WELCOME = Welcome(protocol=1, session=1, name="h1", environment="default")
COPY = Goodbye(reason="another agent with this identity is connected", doubled=True)
WEB = UnitAssignment(
    unit=UnitId("s.1.1"), desired=UnitDesired.RUN, containers=(ContainerAssignment(name="web", image="app/steady:1"),)
)


class Answers:
    """A server's: one for each time it is dialled, the last one for ever. None: it cannot be reached."""

    def __init__(self, stage: Stage, *answers: FromServer | None) -> None:
        self.stage = stage
        self.answers = list(answers)

    def dial(self, peer: Peer, weather: Weather) -> SimulatedChannel:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise Transient("connection refused")
        agents, mine = connect(weather)

        async def say() -> None:
            await mine.receive()
            await mine.send(encode(answer))

        self.stage.spawn(say(), "the server's answer")
        return agents


def runs(*answers: FromServer | None) -> bool:
    """Whether what its ledger wishes runs, long after an agent with that ledger was started."""

    async def main() -> bool:
        async with asyncio.TaskGroup() as group:
            stage = Stage("alone", group)
            machine = Machine(stage, "h1", 1, Answers(stage, *answers).dial)
            ledger = Ledger(LEDGER, KeyInMemory(stage.world("before", machine.clock, lambda: True)), machine.disk)
            ledger.apply(Assign(version=1, whole=True, items=(WEB,)))
            ledger.close()
            machine.start_agent()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(LONG_S):
                    await stage.over.wait()
            found = [container.state for container in machine.engine.containers.values()]
            stage.finished = True
            if machine.agent_ledger is not None:
                machine.agent_ledger.close()
            machine.kill_agent()
            machine.engine.go_down()
        return found == ["running"]

    return run(main())


@pytest.mark.parametrize(
    ("answers", "acts"),
    [
        ((WELCOME,), True),
        ((None,), True),
        ((Goodbye(reason="upgrade paddock on this host"),), True),
        ((COPY,), False),
        ((COPY, None), False),
        ((COPY, Goodbye(reason="the server stops"), None), False),
        ((COPY, None, COPY, WELCOME), True),
    ],
    ids=[
        "welcome",
        "no server",
        "too old",
        "a copy",
        "a copy cut off",
        "a copy, and the server stops",
        "true after all",
    ],
)
def test_who_was_told_to_be_a_copy_acts_when_it_is_welcomed_and_not_before(
    answers: tuple[FromServer | None, ...], acts: bool
) -> None:
    assert runs(*answers) is acts
