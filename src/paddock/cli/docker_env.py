"""`paddock docker-env`"""

from __future__ import annotations

import os
import shlex

from paddock.cli import output
from paddock.cli.command import App, Option, examples

app = App()


@app.command(
    epilog=examples(
        'eval "$(paddock docker-env)"          docker, compose and SDKs of this shell talk to the cluster',
        'eval "$(paddock docker-env --unset)"  and no longer',
    )
)
def docker_env(
    unset: bool = Option(False, "--unset", help="Take them away again."),
    as_json: bool = Option(False, "--json", help="As JSON."),
) -> None:
    """Print the variables that point Docker clients at the cluster, for a shell to take up."""
    from paddock.cli.docker_access import current_access

    if unset:
        print("unset DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH")
        return
    variables = current_access(os.environ).variables()
    if as_json:
        output.print_json(variables)
        return
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
