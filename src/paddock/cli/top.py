"""`paddock top`"""

from __future__ import annotations

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.naming import wanted_containers
from paddock.wire.api import TopAnswer

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock top shop-api-1            one container
  paddock top shop                  a whole stack""",
)
def top(
    names: list[str] = Argument(REQUIRED, metavar="NAME", help="Stacks, services or containers."),
    as_json: bool = Option(False, "--json", help="As JSON: container -> titles and processes."),
) -> None:
    """List the processes of containers."""
    answers = run(_fetch(names))
    if as_json:
        output.print_json(answers)
        return
    for name, answer in answers.items():
        print(f"{name}" if len(answers) > 1 else "", end="\n" if len(answers) > 1 else "")
        output.print_table(answer.titles, answer.processes)


async def _fetch(names: list[str]) -> dict[str, TopAnswer]:
    async with connected() as client:
        views = await wanted_containers(client, names)
        return {view.name: await client.top(view.name) for view in views if view.state == "running"}
