"""`paddock docker`: the docker command line, pointed at the cluster."""

from __future__ import annotations

import os

from paddock.cli.command import App, Argument, examples

app = App()


@app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    epilog=examples(
        "paddock docker run -d --name web nginx     placed on one of the hosts",
        "paddock docker ps",
        "paddock docker exec -it web sh",
    ),
)
def docker(arguments: list[str] = Argument([], metavar="ARGUMENTS", help="As for docker.")) -> None:
    """Run this machine's docker command line against the cluster."""
    from paddock.cli.docker_access import become

    become(["docker", *arguments], os.environ)
