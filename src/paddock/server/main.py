"""The server process: opens the store, makes what is missing on first start, serves two TLS ports until told to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
import uvicorn
import uvloop
from setproctitle import setproctitle
from websockets.asyncio.server import Server

from paddock.model.errors import Broken, Full, PaddockError
from paddock.server.addresses import bound_socket, certificate_names, own_address
from paddock.server.agents_port import AgentsPort
from paddock.server.authority import Authority, write_private
from paddock.server.config import ServerConfig
from paddock.server.docker_door import DockerDoor
from paddock.server.http.api import Api
from paddock.server.http.app import application
from paddock.server.http.heads import BoundedHeads
from paddock.server.plane import ControlPlane
from paddock.server.sealing import Sealer
from paddock.server.sessions import Sessions
from paddock.store.sqlite import SqliteOptions, open_sqlite
from paddock.store.store import Store
from paddock.world.supervisor import tell_ready
from paddock.world.world import World, machine_world

ADMIN_KEY = "admin.key"
EXIT_REFUSED = 2
EXIT_BROKEN = 3
EXIT_FULL = 4
DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
LEAST_ROOM = 8 << 20
"""Bytes of the disk: with less the first write would end the server as soon as it had started."""
CERTIFICATE_CHECK_S = 60.0
GRACE_S = 2
"""How long requests may go on once the server is told to end."""
PLANE_END_S = 5.0
Ready = Callable[["Running"], None]
Beside = Callable[[ServerConfig, ControlPlane, Authority], contextlib.AbstractAsyncContextManager[DockerDoor | None]]
"""What else is served for as long as the ports are open, and its door; given by who starts the server."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What a started server can be found by. `admin_key` only on the very first start."""

    address: str
    api_port: int
    agents_port: int
    ca: str
    admin_key: str | None
    plane: ControlPlane
    stop: asyncio.Event


@contextlib.asynccontextmanager
async def nothing(config: ServerConfig, plane: ControlPlane, authority: Authority) -> AsyncIterator[DockerDoor | None]:
    yield None


def run_server(config: ServerConfig, beside: Beside = nothing) -> int:
    """Until SIGTERM or SIGINT. -> exit code: 0, 2 refused (port taken, data in use), 3 damaged data, 4 no room for it.

    After 4 it is worth trying again, which systemd does.
    """
    setproctitle("paddock server")
    configure_log()
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config, machine_world(), _announce(config), signals=True, beside=beside))
    except (PaddockError, OSError) as error:
        return _say(error)
    except BaseExceptionGroup as group:
        return _say(_first(group))
    return 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one that ended the others, where it is ours to explain; else all of them."""
    told = group.subgroup((Broken, OSError))
    error: BaseException = told or group
    while told is not None and isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _say(error: BaseException) -> int:
    """Raises what is a fault of the program."""
    if isinstance(error, OSError) and error.errno in DISK_TROUBLE:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "make room, then start it again" if full else "look after the disk, then start it again"
        error = (Full if full else Broken)(f"its data could not be written: {error}", hint=hint)
    if not isinstance(error, PaddockError):
        raise error
    print(f"paddock server: {error}", file=sys.stderr)
    match error:
        case Full():
            return EXIT_FULL
        case Broken():
            return EXIT_BROKEN
        case _:
            return EXIT_REFUSED


def configure_log() -> None:
    """One line per event on standard error, keys and values; libraries only when something is wrong."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _raise_file_limit() -> None:
    """Every stream to a host takes three descriptors; the usual soft limit of 1024 is for programs that use select."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _announce(config: ServerConfig) -> Ready:
    def announce(running: Running) -> None:
        print(f"paddock server answers at {running.address}, agents at port {running.agents_port}", flush=True)
        print(f"its CA is {config.directory / 'ca.crt'}", flush=True)
        tell_ready()
        if running.admin_key is None:
            return
        if config.admin_key_file:
            print(f"the first admin key is in {config.directory / ADMIN_KEY}", flush=True)
        else:
            print(f"first admin key, shown this once: {running.admin_key}", flush=True)

    return announce


async def serve(
    config: ServerConfig, world: World, ready: Ready, *, signals: bool = False, beside: Beside = nothing
) -> None:
    """`ready` is called once both ports answer. Raises `Refused` or `Broken` when it cannot start."""
    config.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _check_room(config)
    async with _opened(config, world) as store:
        authority = Authority.open(config.directory, world.now_s())
        authority.renew_server_certificate(certificate_names(config.names), world.now_s())
        sealer = Sealer.open(config.directory / "sealing.key", world)
        plane = ControlPlane(world, store, sealer, authority.sign_host)
        admin_key = await plane.first_start(config.pools)
        if admin_key is not None and config.admin_key_file:
            write_private(config.directory / ADMIN_KEY, admin_key.encode() + b"\n")
        stop = asyncio.Event()
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with beside(config, plane, authority) as docker:
            made = Made(config, plane, authority, docker)
            await _serve_ports(made, lambda running: ready(_with(running, admin_key, stop)), stop)
    world.log.info("server stopped")


def _check_room(config: ServerConfig) -> None:
    found = os.statvfs(config.directory)
    room = found.f_bavail * found.f_frsize
    if room < LEAST_ROOM:
        raise Full(
            f"the disk is full: {config.directory} has {room >> 10} KiB left of the {LEAST_ROOM >> 20} MiB it needs",
            hint="make room: nothing acknowledged is lost, and what runs goes on",
        )


def _with(running: Running, admin_key: str | None, stop: asyncio.Event) -> Running:
    return msgspec.structs.replace(running, admin_key=admin_key, stop=stop)


@contextlib.asynccontextmanager
async def _opened(config: ServerConfig, world: World) -> AsyncIterator[Store]:
    store = await open_sqlite(config.database, world, SqliteOptions())
    try:
        yield store
    finally:
        await store.close()


class Made(NamedTuple):
    """What the ports are served from."""

    config: ServerConfig
    plane: ControlPlane
    authority: Authority
    docker: DockerDoor | None


async def _serve_ports(made: Made, ready: Ready, stop: asyncio.Event) -> None:
    config, plane, authority, docker = made
    api_socket = bound_socket(config.listen, config.api_port, "--api-port")
    agents_socket = bound_socket(config.listen, config.agents_port, "--agents-port")
    api_port, agents_port = api_socket.getsockname()[1], agents_socket.getsockname()[1]
    address = f"https://{_bracketed(config.names[0] if config.names else own_address())}:{api_port}"
    api_tls, agents_tls = authority.api_tls(), authority.agents_tls()
    api = Api(plane, authority, config, address, agents_port)
    api.docker = docker
    web = ApiServer(application(api), api_tls)
    agents = await AgentsPort(plane.sessions, plane.streams).listen([agents_socket], agents_tls)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(plane.run())
        answering = tasks.create_task(web.serve_on(api_socket))
        renewal = tasks.create_task(_keep_certificate(config, authority, plane.world, (api_tls, agents_tls)))
        await web.up.wait()
        ready(
            Running(
                address=address,
                api_port=api_port,
                agents_port=agents_port,
                ca=authority.pem,
                admin_key=None,
                plane=plane,
                stop=stop,
            )
        )
        await stop.wait()
        plane.world.log.info("server stops")
        renewal.cancel()
        web.end()
        await _send_away(plane.sessions, agents, answering)
        work.cancel()


async def _send_away(sessions: Sessions, agents: Sequence[Server], answering: asyncio.Task[None]) -> None:
    """Agents have heard it and requests are answered, or it took too long."""
    sessions.stop()
    for server in agents:
        server.close(close_connections=False)
    try:
        async with asyncio.timeout(PLANE_END_S):
            await sessions.all_gone()
            await asyncio.wait([answering])
    except TimeoutError:
        answering.cancel()
    for server in agents:
        server.close()


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


async def _keep_certificate(
    config: ServerConfig, authority: Authority, world: World, contexts: tuple[ssl.SSLContext, ...]
) -> None:
    """Renews it before it ends and when this machine gets another address; new connections see the new one.

    On a thread: a stack's new network is a new address of this machine, and writing waits for the disk it is busy with.
    """

    def renew() -> bool:
        return authority.renew_server_certificate(certificate_names(config.names), world.now_s())

    while True:
        await asyncio.sleep(CERTIFICATE_CHECK_S)
        if await asyncio.to_thread(renew):
            world.log.info("server certificate issued anew", names=certificate_names(config.names))
            for context in contexts:
                context.load_cert_chain(authority.certificate_file, authority.key_file)


class ApiServer(uvicorn.Server):
    """uvicorn on our socket and TLS context, woken once a second instead of ten times, and ended by us alone."""

    def __init__(self, app: Any, tls: ssl.SSLContext) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHeads,
                ws="websockets-sansio",
                ws_ping_interval=None,
                ws_max_size=2**20,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=GRACE_S,
                ssl_context_factory=lambda _config, _default: tls,
            )
        )
        self.up = asyncio.Event()
        self._ending = asyncio.Event()

    async def serve_on(self, listening: socket.socket) -> None:
        await self._serve(sockets=[listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._ending.wait()

    def end(self) -> None:
        self.should_exit = True
        self._ending.set()
