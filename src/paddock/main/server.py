"""`paddock server`"""

from __future__ import annotations

import os
from ipaddress import IPv4Network
from pathlib import Path

from paddock.cli.command import REQUIRED, App, Argument, Exit, Invocation, Option, examples
from paddock.cli.connection import connected
from paddock.cli.connection import run as run_client
from paddock.cli.output import say
from paddock.main import systemd
from paddock.model.errors import UserError

app = App(invoke_without_command=True)

DATA = Option("/var/lib/paddock/server", "--data", help="Where everything is kept.")
LISTEN = Option("", "--listen", metavar="ADDRESS", help="Bind to this address only.")
API_PORT = Option(7443, "--api-port", help="For people and programs.")
AGENTS_PORT = Option(7444, "--agents-port", help="For agents.")
DOCKER_PORT = Option(7445, "--docker-port", help="For Docker clients; 0 for none but the socket in the data.")
NAMES = Option([], "--name", metavar="NAME", help="A name or address it is reached by; the first goes to hosts.")
POOLS = Option([], "--pool", metavar="SUBNET", help="Where networks are cut from, on the first start.")
KEY_FILE = Option(False, "--admin-key-file", help="Also write the first admin key to DATA/admin.key.")
UNIT = "paddock-server"


@app.callback(
    epilog="""\b
Examples:
  paddock server                                run it here, until Ctrl-C
  paddock server --data ./data --name 10.0.0.1
  paddock server install --name paddock.example.com
  paddock server backup paddock.backup          of the server that commands talk to
  paddock server restore paddock.backup         into an empty data directory""",
)
@app.command(
    "run",
    help="Run the server here, in the foreground.",
    epilog=examples(
        "paddock server run",
        "paddock server run --data ./data --listen 127.0.0.1",
    ),
)
def server(
    ctx: Invocation,
    data: str = DATA,
    listen: str = LISTEN,
    api_port: int = API_PORT,
    agents_port: int = AGENTS_PORT,
    docker_port: int = DOCKER_PORT,
    name: list[str] = NAMES,
    pool: list[str] = POOLS,
    admin_key_file: bool = KEY_FILE,
) -> None:
    """Run the server: everything is in one process and one data directory."""
    if ctx.invoked_subcommand is not None:
        return
    _check_pools(pool)
    from paddock.main.gateway import docker_api
    from paddock.server.config import ServerConfig
    from paddock.server.main import run_server

    config = ServerConfig(
        data=data, listen=listen, api_port=api_port, agents_port=agents_port, docker_port=docker_port,
        names=tuple(name), pools=tuple(pool), admin_key_file=admin_key_file,
    )  # fmt: skip
    raise Exit(run_server(config, docker_api))


@app.command(
    epilog=examples(
        "paddock server install --name paddock.example.com",
        "paddock server install --data /srv/paddock --no-start",
    )
)
def install(
    data: str = DATA,
    listen: str = LISTEN,
    api_port: int = API_PORT,
    agents_port: int = AGENTS_PORT,
    docker_port: int = DOCKER_PORT,
    name: list[str] = NAMES,
    pool: list[str] = POOLS,
    no_start: bool = Option(False, "--no-start", help="Only write the unit."),
) -> None:
    """Write a unit of systemd and start it. The first admin key is then in DATA/admin.key."""
    _check_pools(pool)
    options = ["--data", data, "--api-port", str(api_port), "--agents-port", str(agents_port)]
    options += ["--docker-port", str(docker_port), "--admin-key-file"]
    options += ["--listen", listen] if listen else []
    for option, values in (("--name", name), ("--pool", pool)):
        options += [word for value in values for word in (option, value)]
    unit = systemd.Unit(
        name=UNIT,
        description="Paddock server",
        command=(systemd.program(), "server", "run", *options),
        data=data,
        confinement=systemd.SERVER,
        restart_never_after=(2, 3),
    )
    systemd.install(unit, start=not no_start)
    say(f"the first admin key is in {data}/admin.key, the CA in {data}/ca.crt; `paddock context create` takes both")


def _check_pools(pools: list[str]) -> None:
    for pool in pools:
        try:
            IPv4Network(pool)
        except ValueError as error:
            raise UserError(f"--pool {pool}: {error}", hint="a subnet is written like 10.128.0.0/12") from None


@app.command(
    epilog=examples(
        "paddock server uninstall",
    )
)
def uninstall(
    no_stop: bool = Option(False, "--no-stop", help="Only remove the unit."),
) -> None:
    """Stop the server and take its unit away. Its data stays."""
    systemd.uninstall(UNIT, stop=not no_stop)


@app.command(
    epilog=examples(
        "paddock server backup paddock.backup",
        "paddock server backup --stopped --data /srv/paddock paddock.backup",
    )
)
def backup(
    file: Path = Argument(REQUIRED, help="Where to write it."),
    stopped: bool = Option(False, "--stopped", help="Of a data directory whose server does not run."),
    data: str = DATA,
) -> None:
    """Write everything the server knows into one file: database, CA, keys. Keep it as you keep the keys themselves."""
    if not stopped:
        say(f"{file}: {run_client(_backup(file))} bytes")
        return
    from paddock.server.upkeep import backup_stopped
    from paddock.world.world import machine_world

    version = run_client(backup_stopped(Path(data), file, machine_world()))
    say(f"{file}: everything up to version {version}")


async def _backup(file: Path) -> int:
    """Readable by its owner only, and in place only when it is whole."""
    partial = file.with_name(f".{file.name}.partial")
    async with connected() as client:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as backup:
            size = await client.backup(backup.write)
            backup.flush()
            os.fsync(backup.fileno())
    partial.replace(file)
    return size


@app.command(
    epilog=examples(
        "paddock server restore paddock.backup",
        "paddock server restore paddock.backup --data ./tried   only to try it",
    )
)
def restore(file: Path = Argument(REQUIRED, help="What `backup` wrote."), data: str = DATA) -> None:
    """Put a backup in the place of a data directory's content. The server must not run."""
    from paddock.server.upkeep import restore_backup

    say(f"{data} is as it was at version {restore_backup(file, Path(data))}; start the server")
