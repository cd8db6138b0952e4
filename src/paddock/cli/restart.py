"""`paddock restart`"""

from __future__ import annotations

from paddock.cli.acting import DETACH, NAMES, STACK, TIMEOUT, Following, act
from paddock.cli.command import App
from paddock.cli.connection import run

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock restart shop/api       restart one service
  paddock restart -p shop        the whole stack""",
)
def restart(
    names: list[str] | None = NAMES,
    stack: str = STACK,
    detach: bool = DETACH,
    timeout: float = TIMEOUT,
) -> None:
    """Replace the containers of services with new ones, a few at a time, as their update policy says."""
    following = Following(detach=detach, timeout_s=timeout)
    run(act(names or [], stack, lambda client, view: client.restart(view.stack, view.name), following))
