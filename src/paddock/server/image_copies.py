"""Images on their way from a host that has them to one that needs them: two tunnels joined, no registry in between.

The one that gives leaves out the layers that the one that takes has. Nothing is kept here but what is in the sockets.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import msgspec

from paddock.core.images.layers import in_common
from paddock.core.images.reference import id_prefix, parse, tagged
from paddock.model.errors import PaddockError, Refused, Transient, UserError
from paddock.model.images import HeldImage, SaveImage
from paddock.model.objects import Host, HostId
from paddock.server.images import Holding, Inventory
from paddock.server.sessions import Sessions
from paddock.server.streams import Streams
from paddock.wire.engine_connection import ByteStream
from paddock.wire.engine_errors import EngineError
from paddock.wire.engine_http import EngineHttp
from paddock.wire.messages import FetchedImage, FetchImage, FetchingImage
from paddock.world.world import World

AT_ONCE = 8
MOST_WAITING = 2000
SAVE_SILENCE_S = 660.0
LOAD_TIMEOUT_S = 3600.0
READ_BYTES = 256 * 1024
SAY_EVERY_S = 1.0
END_OF_ARCHIVE = bytes(1024)
Say = Callable[[str], None]


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """`sent_bytes`: of the archive, after what the host had was left out."""

    source: str
    target: str
    image: str
    sent_bytes: int
    layers_left_out: int
    seconds: float


class _Job:
    """One image on its way to one host, for everybody who waits for it."""

    def __init__(self, asked: FetchImage, target: Host) -> None:
        self.name = asked.image
        self.wished_name = asked.name
        self.target = target
        self.hears: list[Say] = []
        self.done: asyncio.Future[Copied] = asyncio.get_running_loop().create_future()

    def say(self, words: str) -> None:
        for hear in self.hears:
            hear(words)


class ImageCopies:
    """`run` for as long as the server does."""

    def __init__(self, world: World, sessions: Sessions, streams: Streams, inventory: Inventory) -> None:
        self._world = world
        self._sessions = sessions
        self._streams = streams
        self._inventory = inventory
        self._jobs: dict[tuple[str, HostId], _Job] = {}
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._giving: Counter[HostId] = Counter()
        self.auth_of: Callable[[str, str], str] = lambda environment, image: ""
        """What the image's registry wants to see."""
        inventory.on_wanted = self._wanted

    @property
    def under_way(self) -> int:
        return len(self._jobs)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._work())

    async def bring(self, name: str, target: Host, say: Say) -> Copied | None:
        """None when no other host of its environment has it. Raises `PaddockError`."""
        job = self._job(FetchImage(request=0, image=name), target)
        if job is None:
            return None
        job.hears.append(say)
        try:
            return await asyncio.shield(job.done)
        finally:
            job.hears.remove(say)

    # What agents ask for

    def _wanted(self, host: HostId, message: FetchImage) -> None:
        target = self._inventory.host(host)
        if target is None:
            return

        def say(words: str) -> None:
            self._answer(host, FetchingImage(request=message.request, words=words))

        def ended(done: asyncio.Future[Copied]) -> None:
            error = "the server stops" if done.cancelled() else str(done.exception() or "")
            self._answer(host, FetchedImage(request=message.request, found=not error, error=error))

        try:
            job = None if message.pulled else self._job(message, target)
        except PaddockError as trouble:
            self._answer(host, FetchedImage(request=message.request, error=str(trouble)))
            return
        if job is None:
            auth = self.auth_of(target.environment, message.name or message.image)
            self._answer(host, FetchedImage(request=message.request, auth=auth))
        else:
            job.hears.append(say)
            job.done.add_done_callback(ended)

    def _answer(self, host: HostId, message: FetchingImage | FetchedImage) -> None:
        try:
            self._sessions.say(host, message)
        except Transient:
            self._world.probe("a host went away while an image was brought to it")

    # Jobs

    def _job(self, asked: FetchImage, target: Host) -> _Job | None:
        name = asked.image
        key = (name, HostId(target.id))
        job = self._jobs.get(key)
        if job is not None:
            return job
        holder = None if by_digest(name) else self._holder(target, name)
        if holder is None or not holder.image.platform.startswith(asked.platform):
            return None
        if len(self._jobs) >= MOST_WAITING:
            raise Transient("too many images are on their way", retry_after_s=5.0)
        job = _Job(asked, target)
        self._jobs[key] = job
        self._queue.put_nowait(job)
        job.say(f"waiting to copy {name} from host {holder.host.name}")
        return job

    def _holder(self, target: Host, name: str) -> Holding | None:
        """Of those who have it the one that gives least at the moment."""
        others = [held for held in self._inventory.holders(target.environment, name) if held.host.id != target.id]
        return min(others, key=lambda held: (self._giving[HostId(held.host.id)], held.host.name), default=None)

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            try:
                copied = await self._copy(job)
                job.done.set_result(copied)
            except PaddockError as trouble:
                self._world.log.warning(
                    "an image was not copied", image=job.name, to=job.target.name, error=str(trouble)
                )
                job.done.set_exception(trouble)
                job.done.exception()
            finally:
                del self._jobs[job.name, HostId(job.target.id)]
                if not job.done.done():
                    job.done.cancel()

    async def _copy(self, job: _Job) -> Copied:
        holder = self._holder(job.target, job.name)
        if holder is None:
            raise Transient(f"no connected host has {job.name} any more")
        source = HostId(holder.host.id)
        self._giving[source] += 1
        try:
            copied = await self._tried(job, holder)
        finally:
            self._giving[source] -= 1
        self._world.log.info(
            "image copied", image=job.name, source=copied.source, target=copied.target, bytes=copied.sent_bytes,
            layers_left_out=copied.layers_left_out, seconds=round(copied.seconds, 2),
        )  # fmt: skip
        return copied

    async def _tried(self, job: _Job, holder: Holding) -> Copied:
        """Without the layers that are there; and with all, should they not have been."""
        held = self._inventory.on_host(HostId(job.target.id))
        common = in_common(holder.image.layers, [image.layers for image in held])
        try:
            return await self._sent(job, holder, common)
        except EngineError as refused:
            if not common:
                raise Refused(f"host {job.target.name} does not take {job.name}: {refused.message}") from refused
            self._world.probe("a layer thought to be on a host was not")
        try:
            return await self._sent(job, holder, 0)
        except EngineError as refused:
            raise Refused(f"host {job.target.name} does not take {job.name}: {refused.message}") from refused

    async def _sent(self, job: _Job, holder: Holding, left_out: int) -> Copied:
        started_s = self._world.clock.monotonic_s()
        named = self._named(job, holder.image)
        save = SaveImage(image=named, layers=holder.image.layers, left_out=left_out)
        stream = await self._streams.dial(HostId(holder.host.id), save)
        archive = _Archive(stream, self._progress(job, holder.host.name))
        engine = EngineHttp(lambda: self._streams.dial(HostId(job.target.id)), where=f"the engine of {job.target.name}")
        try:
            await load(engine, archive.pieces(holder.host.name))
        finally:
            stream[1].close()
            await engine.close()
        taken = msgspec.structs.replace(
            holder.image, names=() if named == holder.image.id else (named,), tagged_at_s=self._world.now_s()
        )
        self._inventory.put(HostId(job.target.id), taken)
        return Copied(
            source=holder.host.name,
            target=job.target.name,
            image=holder.image.id,
            sent_bytes=archive.bytes,
            layers_left_out=left_out,
            seconds=self._world.clock.monotonic_s() - started_s,
        )

    def _named(self, job: _Job, image: HeldImage) -> str:
        """Asked for by its id, it comes with the name it has in the cluster, if it still has it."""
        wished = tagged(job.wished_name) if job.wished_name else ""
        if wished and wished in image.names:
            holders = self._inventory.holders(job.target.environment, wished)
            if holders and holders[0].image.id == image.id:
                return wished
        return _saved_by(job.name, image)

    def _progress(self, job: _Job, source: str) -> Callable[[int], None]:
        said_s = self._world.clock.monotonic_s()

        def heard(so_far: int) -> None:
            nonlocal said_s
            now_s = self._world.clock.monotonic_s()
            if now_s - said_s >= SAY_EVERY_S:
                said_s = now_s
                job.say(f"copying {job.name} from host {source}: {so_far / 1e6:.1f} MB")

        return heard


class _Archive:
    """What the giving host sends, counted."""

    def __init__(self, stream: ByteStream, heard: Callable[[int], None]) -> None:
        self._reader = stream[0]
        self._heard = heard
        self.bytes = 0

    async def pieces(self, source: str) -> AsyncIterator[bytes]:
        """Raises `Transient` unless the archive comes to its end: the other engine must not take a part for it."""
        tail = b""
        while True:
            try:
                async with asyncio.timeout(SAVE_SILENCE_S):
                    data = await self._reader.read(READ_BYTES)
            except (OSError, TimeoutError) as error:
                raise Transient(f"host {source} stopped giving the image: {error or 'silence'}") from error
            if not data:
                break
            self.bytes += len(data)
            tail = (tail + data)[-len(END_OF_ARCHIVE) :]
            self._heard(self.bytes)
            yield data
        if tail != END_OF_ARCHIVE:
            raise Transient(f"host {source} did not give the whole image: see the log of its agent")


async def load(engine: EngineHttp, archive: AsyncIterator[bytes]) -> None:
    """Raises `EngineError` when the engine does not take it."""
    async with engine.stream(
        "POST", "/images/load", query={"quiet": 1}, body=archive, idle_timeout_s=LOAD_TIMEOUT_S
    ) as answer:
        async for line in answer.lines():
            told = _told(line)
            if "error" in told:
                raise EngineError(answer.status, str(told["error"]), "POST /images/load")


def _told(line: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(line, type=dict[str, object])
    except msgspec.DecodeError:
        return {"error": line.decode("utf-8", "replace")[:500]} if line.strip() else {}


def by_digest(name: str) -> bool:
    """`NAME@sha256:…`: engines know such names from registries only, and lose them in an archive."""
    return "@" in name


def _saved_by(name: str, image: HeldImage) -> str:
    """Its name goes with it; asked for by id it goes without one."""
    try:
        reference = parse(name)
    except UserError:
        return image.id
    if reference.digest or (id_prefix(name) and str(reference) not in image.names):
        return image.id
    return str(reference if reference.tag else reference._replace(tag="latest"))
