"""`paddock explain`"""

from __future__ import annotations

import sys

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.wire.api import Explanation

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock explain shop-worker-2     a container
  paddock explain shop/worker       a service
  paddock explain h2                a host""",
)
def explain(
    name: str = Argument(REQUIRED, help="A container, service, stack or host."),
    as_json: bool = Option(False, "--json", help="As JSON."),
) -> None:
    """Say why something waits, why it is where it is, and what was tried."""
    explanation = run(_fetch(name))
    if as_json:
        output.print_json(explanation)
    else:
        sys.stdout.write(text(explanation))


async def _fetch(name: str) -> Explanation:
    async with connected() as client:
        return await client.explain(name)


def text(explanation: Explanation) -> str:
    told = explanation.summary
    if not told.startswith(explanation.name):
        told = f"{explanation.name} is {explanation.state}: {told}"
    lines = [f"{explanation.kind} {told}"]
    if explanation.waits_for:
        lines += ["", "It waits for:", *(f"  {reason}" for reason in explanation.waits_for)]
    if explanation.hosts:
        lines += ["", *(f"  {host}: {why or 'could take it'}" for host, why in explanation.hosts.items())]
    if explanation.placed_because:
        lines += ["", f"It is where it is because {explanation.placed_because}"]
    if explanation.history:
        lines += ["", "What was tried:"]
        lines += [f"  {output.clock_text(step.at_s)}  {step.text}" for step in explanation.history]
    return "\n".join(lines) + "\n"
