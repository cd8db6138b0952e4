"""`paddock scale`"""

from __future__ import annotations

from paddock.cli.acting import DETACH, STACK, TIMEOUT, Following, act
from paddock.cli.command import REQUIRED, App, Argument
from paddock.cli.connection import run
from paddock.client import Client
from paddock.model.errors import UserError
from paddock.wire.api import Accepted, ServiceView

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock scale shop/api=3
  paddock scale -p shop api=3 worker=10
  paddock scale shop/api=0 -d       without waiting""",
)
def scale(
    wishes: list[str] = Argument(REQUIRED, metavar="SERVICE=NUMBER", help="Services, and how many each."),
    stack: str = STACK,
    detach: bool = DETACH,
    timeout: float = TIMEOUT,
) -> None:
    """Set how many containers services have."""
    numbers = parsed(wishes)

    async def set_number(client: Client, view: ServiceView) -> Accepted:
        number = numbers.get(f"{view.stack}/{view.name}", numbers.get(view.name))
        assert number is not None, "only services that were named are acted on"
        return await client.scale(view.stack, view.name, number)

    run(act(list(numbers), stack, set_number, Following(detach=detach, timeout_s=timeout)))


def parsed(wishes: list[str]) -> dict[str, int]:
    """Raises `UserError` for what is not SERVICE=NUMBER."""
    numbers: dict[str, int] = {}
    for wish in wishes:
        name, _, number = wish.rpartition("=")
        if not name or not number.isdigit():
            raise UserError(f"{wish} is not SERVICE=NUMBER", hint="for example paddock scale shop/api=3")
        numbers[name] = int(number)
    return numbers
