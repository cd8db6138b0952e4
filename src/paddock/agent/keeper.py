"""Makes the host hold what its assignment says: one task per unit, each looking, deciding, doing one step, reporting.

All deciding is `core.lifecycle`'s. Sequential within a unit, parallel across units.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from paddock.agent.adopted import Adopted
from paddock.agent.files import FileKeeper
from paddock.agent.images import Images
from paddock.agent.ledger import Ledger
from paddock.agent.networks import Networks
from paddock.agent.observer import Observer
from paddock.agent.reports import Reports
from paddock.agent.sight import Sight
from paddock.agent.volumes import Volumes
from paddock.core.lifecycle import next_step, remember, report_of
from paddock.drivers.engine import Engine, ImageMissing, NameTaken, StepRefused
from paddock.model.assignment import ContainerAssignment, FileAssignment, UnitAssignment
from paddock.model.errors import Transient
from paddock.model.objects import FileId, UnitId, UnitState
from paddock.model.observed import ObservedContainer, ObservedUnit, Progress
from paddock.model.reports import UnitReport
from paddock.model.steps import (
    ConnectNetwork,
    CreateContainer,
    PrepareContainer,
    PullImage,
    RefuseUnit,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    StopContainer,
    UnitStep,
)
from paddock.world.backoff import Backoff
from paddock.world.world import World

LOOK_AGAIN_S = 60.0
FIRST_BACKOFF_S, MOST_BACKOFF_S = 0.25, 30.0
FIRST_RESTART_S, MOST_RESTART_S = 1.0, 60.0
STEADY_AFTER_S = 60.0
"""A container that ran so long begins its restart backoff anew."""
PULL_TRIES = 3
"""So often a registry may fail to answer before the unit is refused, which lets it go elsewhere."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a keeper works with. `connected`: there is a session with the server."""

    ledger: Ledger
    engine: Engine
    observer: Observer
    networks: Networks
    volumes: Volumes
    files: FileKeeper
    images: Images
    reports: Reports
    world: World
    connected: Callable[[], bool]


class _Notes:
    """What is known of a unit only as long as this process runs."""

    def __init__(self, world: World) -> None:
        self.hurry = asyncio.Event()
        self.backoff = Backoff(world, FIRST_BACKOFF_S, MOST_BACKOFF_S)
        self.restarts = Backoff(world, FIRST_RESTART_S, MOST_RESTART_S)
        self.restart_at_s: float | None = None
        self.not_before_s = 0.0
        self.trouble = ""
        self.troubled_by: UnitAssignment | None = None
        self.missing_images: dict[str, None] = {}
        self.pulled_images: dict[str, None] = {}
        self.foreign: dict[str, ObservedContainer] = {}
        self.failed_pulls = 0
        self.interrupt: asyncio.Timeout | None = None


class Keeper:
    """`run` for ever; `assigned` after the ledger took an assignment."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._world = parts.world
        self._ledger = parts.ledger
        self._sight = Sight(parts.ledger, parts.observer)
        self._notes: dict[UnitId, _Notes] = {}
        self._adopted = Adopted(parts.ledger, parts.engine, parts.observer, parts.world)
        self._wake = asyncio.Event()
        parts.observer.on_change = self._container_changed
        parts.observer.on_list = self._listed
        parts.reports.whole = self._all_looked_at

    async def run(self) -> None:
        await self._parts.observer.listed.wait()
        async with asyncio.TaskGroup() as group:
            while True:
                for unit in self._ledger.units():
                    if unit not in self._notes:
                        self._notes[unit] = _Notes(self._world)
                        group.create_task(self._keep(unit, self._notes[unit]), name=f"keep {unit}")
                await self._wake.wait()
                self._wake.clear()

    def assigned(self, changed: tuple[str, ...]) -> None:
        """`changed`: keys of the assignment that are new, different or gone."""
        self._sight.learn_owners()
        kinds = dict.fromkeys(key.partition("/")[0] for key in changed)
        if any(kind in kinds for kind in ("network", "volume", "file")):
            self.hurry_all()
        for key in changed:
            kind, _, unit = key.partition("/")
            notes = self._notes.get(UnitId(unit)) if kind == "unit" else None
            if notes is not None:
                notes.hurry.set()
                if notes.interrupt is not None:
                    notes.interrupt.reschedule(asyncio.get_running_loop().time())
        self._sweep()
        if any(kind in kinds for kind in ("unit", "network", "peer", "address", "name")):
            self._parts.networks.changed()
        if "unit" in kinds or "volume" in kinds:
            self._parts.volumes.changed()
        self._wake.set()

    def hurry_all(self) -> None:
        """Everything is looked at again: the session came or went, or what units wait for may be here."""
        for notes in self._notes.values():
            notes.hurry.set()

    # One unit

    async def _keep(self, unit: UnitId, notes: _Notes) -> None:
        try:
            while (assignment := self._ledger.unit(unit)) is not None:
                notes.hurry.clear()
                if assignment != notes.troubled_by:
                    notes.not_before_s, notes.trouble = 0.0, ""
                wait_s = await self._guarded_turn(assignment, notes)
                if wait_s is None:
                    self._forget(unit)
                elif wait_s > 0:
                    await self._hurried(notes, wait_s)
        finally:
            self._notes.pop(unit, None)
            self._adopted.forget(unit)
            self._wake.set()

    async def _guarded_turn(self, assignment: UnitAssignment, notes: _Notes) -> float | None:
        """How long to wait before the next turn; None when nothing is left to do or to know of the unit."""
        try:
            if (left_s := notes.not_before_s - self._world.clock.monotonic_s()) > 0:
                return left_s
            wait_s = await self._turn(assignment, notes)
        except Transient as error:
            return self._troubled(assignment, notes, str(error))
        except Exception as error:
            # The keeper's boundary: one unit that cannot be kept must not take down the host's others.
            self._world.log.exception("a unit cannot be kept", unit=assignment.unit)
            return self._troubled(assignment, notes, f"the agent failed: {error!r}")
        if notes.trouble and wait_s:
            notes.trouble = ""
            return 0.0
        return wait_s

    def _troubled(self, assignment: UnitAssignment, notes: _Notes, words: str) -> float:
        if notes.trouble != words:
            self._world.log.warning("a step did not work yet", unit=assignment.unit, error=words)
        notes.trouble, notes.troubled_by = words, assignment
        wait_s = notes.backoff.next_s()
        notes.not_before_s = self._world.clock.monotonic_s() + wait_s
        seen = self._look(assignment, self._ledger.progress_of(assignment.unit), notes, {})
        self._report(report_of(assignment, seen, self._ledger.progress_of(assignment.unit)))
        return wait_s

    async def _hurried(self, notes: _Notes, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await notes.hurry.wait()
        except TimeoutError:
            return

    async def _turn(self, assignment: UnitAssignment, notes: _Notes) -> float | None:
        await self._adopted.mind(assignment)
        before = self._ledger.progress_of(assignment.unit)
        seen = self._look(assignment, before, notes, await self._elsewhere(assignment))
        progress = remember(assignment, seen, before)
        if progress != before or assignment.unit not in self._ledger.progress:
            self._record(assignment.unit, progress)
        self._report(report_of(assignment, seen, progress))
        await self._adopted.tell_names(assignment, seen)
        step = next_step(assignment, seen, progress)
        if step is None:
            leaves = assignment.unit in self._ledger.leaving and (
                progress.state == UnitState.REMOVED or progress.given_up
            )
            return None if leaves else LOOK_AGAIN_S
        if isinstance(step, StartContainer) and (wait_s := self._restart_wait_s(step, seen, notes)) > 0:
            return wait_s
        if not await self._do(assignment, step, notes):
            return 0.0
        notes.backoff.reset()
        notes.trouble = ""
        return 0.0

    def _restart_wait_s(self, step: StartContainer, seen: ObservedUnit, notes: _Notes) -> float:
        if not step.local_restart:
            return 0.0
        now_s = self._world.clock.monotonic_s()
        if notes.restart_at_s is None:
            for container in seen.containers:
                if container.id == step.container and _steady(container):
                    notes.restarts.reset()
            notes.restart_at_s = now_s + notes.restarts.next_s()
        left_s = notes.restart_at_s - now_s
        if left_s <= 0:
            notes.restart_at_s = None
        return left_s

    # Looking

    def _look(
        self,
        assignment: UnitAssignment,
        progress: Progress,
        notes: _Notes,
        elsewhere: dict[str, ObservedContainer],
    ) -> ObservedUnit:
        own = () if progress.given_up else self._sight.own_containers(assignment)
        names = [name for container in assignment.containers for name in (container.name, *container.after)]
        return ObservedUnit(
            containers=own,
            named={**elsewhere, **notes.foreign, **self._sight.named(names, own)},
            missing_images=tuple(notes.missing_images),
            networks=self._parts.networks.known(),
            waiting=notes.trouble,
            cut_off=not self._parts.connected(),
        )

    async def _elsewhere(self, assignment: UnitAssignment) -> dict[str, ObservedContainer]:
        """Containers that are not ours but waited for by name, such as one whose network namespace is shared."""
        own = [container.name for container in assignment.containers]
        ours = [container.name for container in self._parts.observer.containers()]
        names = [name for container in assignment.containers for name in container.after]
        found = {name: await self._parts.engine.inspect(name) for name in names if name not in own and name not in ours}
        return {name: container for name, container in found.items() if container is not None}

    # Doing

    async def _do(self, assignment: UnitAssignment, step: UnitStep, notes: _Notes) -> bool:
        """Whether it was done; if not, the view has changed and the next turn decides anew."""
        self._world.log.debug("step", unit=assignment.unit, step=type(step).__name__)
        try:
            await self._apply(assignment, step, notes)
        except ImageMissing as error:
            if error.image in notes.pulled_images:
                self._refused(assignment.unit, step, error)
            notes.missing_images[error.image] = None
            return False
        except NameTaken as error:
            return await self._name_taken(error, notes)
        except StepRefused as error:
            self._refused(assignment.unit, step, error)
            return False
        return True

    async def _apply(self, assignment: UnitAssignment, step: UnitStep, notes: _Notes) -> None:
        match step:
            case CreateContainer():
                await self._create(step, notes)
            case PrepareContainer():
                await self._prepare(step)
            case PullImage():
                await self._pull(assignment, step, notes)
            case StartContainer():
                await self._start(assignment, step)
            case ConnectNetwork():
                for adopted in assignment.containers:
                    if adopted.adopts:
                        await self._parts.networks.ensure(adopted)
                await self._parts.engine.apply(step)
                await self._parts.observer.refresh(step.container)
            case StopContainer() | RemoveContainer() | RenameContainer():
                await self._parts.engine.apply(step)
                await self._parts.observer.refresh(step.container)
            case RefuseUnit():
                raise StepRefused(step.reason)

    async def _prepare(self, step: PrepareContainer) -> None:
        networks = await self._parts.networks.ensure(step.container)
        await self._parts.volumes.ensure(step.container)
        await self._parts.networks.settle(step.container)
        self._record(step.unit, replace(self._ledger.progress_of(step.unit), prepared=tuple(networks)))

    async def _create(self, step: CreateContainer, notes: _Notes) -> None:
        """Networks are made meanwhile: an engine looks for them when it starts the container, and not before."""
        networks = self._parts.networks.of(step.container)
        await self._parts.volumes.ensure(step.container)
        step = replace(step, networks=networks, binds=self._parts.files.place(step.container, self._file))
        made, ensured = await asyncio.gather(
            self._parts.engine.apply(step), self._parts.networks.ensure(step.container), return_exceptions=True
        )
        if isinstance(made, str):
            notes.foreign.clear()
            await self._parts.observer.refresh(made)
        for failure in (ensured, made):
            if isinstance(failure, BaseException):
                raise failure

    async def _start(self, assignment: UnitAssignment, step: StartContainer) -> None:
        for container in assignment.containers:
            if container.role == step.role:
                await self._parts.networks.ensure(container)
                self._parts.files.place(container, self._file)
                await self._parts.networks.settle(container)
        if step.local_restart:
            progress = self._ledger.progress_of(assignment.unit)
            self._record(assignment.unit, replace(progress, local_restarts=progress.local_restarts + 1))
        try:
            await self._parts.engine.apply(step)
        finally:
            await self._parts.observer.refresh(step.container)

    async def _pull(self, assignment: UnitAssignment, step: PullImage, notes: _Notes) -> None:
        def say(words: str) -> None:
            notes.trouble = words
            progress = self._ledger.progress_of(assignment.unit)
            self._report(report_of(assignment, self._look(assignment, progress, notes, {}), progress))

        try:
            async with asyncio.timeout(None) as notes.interrupt:
                brought = await self._parts.images.bring(step, say)
                if step.always or not brought.found:
                    await self._parts.engine.apply(_to_pull(step, brought.auth), say)
        except TimeoutError:
            return
        except Transient as error:
            notes.failed_pulls += 1
            if notes.failed_pulls >= PULL_TRIES:
                raise StepRefused(f"{step.image} could not be pulled: {error.message}") from error
            raise
        finally:
            notes.interrupt = None
        notes.failed_pulls = 0
        notes.missing_images.pop(step.image, None)
        notes.pulled_images[step.image] = None
        if step.always:
            progress = self._ledger.progress_of(assignment.unit)
            self._record(assignment.unit, replace(progress, pulled=(*progress.pulled, step.role)))

    async def _name_taken(self, error: NameTaken, notes: _Notes) -> bool:
        holder = await self._parts.engine.inspect(error.name)
        if holder is None:
            raise Transient(error.message)
        if holder.unit is None:
            notes.foreign[error.name] = holder
        else:
            await self._parts.observer.refresh(holder.id)
        return False

    def _refused(self, unit: UnitId, step: UnitStep, error: StepRefused) -> None:
        if isinstance(step, StopContainer | RemoveContainer | RenameContainer):
            raise Transient(error.message) from error
        self._world.log.error("the engine refuses a unit", unit=unit, step=type(step).__name__, error=error.message)
        self._record(unit, replace(self._ledger.progress_of(unit), refused=error.message))

    def _file(self, file: FileId) -> FileAssignment | None:
        item = self._ledger.items.get(f"file/{file}")
        return item if isinstance(item, FileAssignment) else None

    # Saying and remembering

    def _record(self, unit: UnitId, progress: Progress) -> None:
        before = self._ledger.progress_of(unit)
        self._ledger.record(unit, progress)
        self._sight.own(unit, progress)
        if progress.state != before.state:
            self._world.log.info("unit", unit=unit, state=progress.state.name.lower(), why=progress.message)
            if progress.state == UnitState.REMOVED:
                self._parts.networks.changed()
                self._parts.volumes.changed()

    def _report(self, report: UnitReport) -> None:
        last = self._parts.reports.latest.get(report.unit)
        if last is None or replace(last, at_s=0.0) != report:
            self._parts.reports.put(replace(report, at_s=self._world.now_s()))

    def _forget(self, unit: UnitId) -> None:
        self._ledger.forget(unit)
        self._parts.reports.forget(unit)
        self._parts.networks.changed()
        self._parts.volumes.changed()
        self._parts.files.tidy(self._containers(), self._file)

    def _containers(self) -> list[ContainerAssignment]:
        units = [self._ledger.unit(unit) for unit in self._ledger.units()]
        return [container for unit in units if unit is not None for container in unit.containers]

    # What the engine tells

    def _container_changed(self, before: ObservedContainer | None, after: ObservedContainer | None) -> None:
        for container in (before, after):
            if container is not None:
                for unit in self._sight.units_of(container):
                    if unit in self._notes:
                        self._notes[unit].hurry.set()

    def _all_looked_at(self) -> bool:
        looked_at = self._parts.reports.latest
        return self._parts.observer.listed.is_set() and all(unit in looked_at for unit in self._ledger.units())

    def _listed(self) -> None:
        self._parts.reports.wake.set()
        self._parts.networks.engine_listed()
        self._sweep()
        self.hurry_all()
        self._wake.set()

    def _sweep(self) -> None:
        """Containers of units that are in no assignment have to go, but only once there is an assignment."""
        if self._ledger.version == 0:
            return
        for unit in self._sight.unclaimed():
            self._world.log.info("containers of an unknown unit are removed", unit=unit)
            self._world.probe("a container in no assignment is removed")
            self._ledger.leave(unit)


def _to_pull(step: PullImage, auth: str) -> PullImage:
    """Raises `StepRefused` for an image that no registry may be asked for."""
    if step.image_id:
        raise StepRefused(
            f"the image {step.image} that was built ({step.image_id[7:19]}) is on no connected host any more: "
            "`paddock up --build` builds it again"
        )
    if not step.asks_registry:
        raise StepRefused(f"image {step.image} is on no connected host, and its pull policy is never")
    return replace(step, auth=auth)


def _steady(container: ObservedContainer) -> bool:
    return container.finished_at_s - container.started_at_s >= STEADY_AFTER_S
