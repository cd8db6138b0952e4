"""Which objects a call of `converge` looks at, so that its work is proportional to what changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from paddock.core.attachments import files_of, networks_of, volumes_of
from paddock.core.draft import Draft
from paddock.model.changes import Change
from paddock.model.objects import (
    Environment,
    File,
    Host,
    HostId,
    Network,
    Object,
    Revision,
    Service,
    ServiceId,
    Stack,
    StackId,
    Unit,
    Volume,
    kind_of,
)
from paddock.model.snapshot import Snapshot

T = TypeVar("T", bound=Object)


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """`ids`: kind -> ids. With `all` the ids are ignored."""

    all: bool = False
    ids: dict[str, tuple[str, ...]] = {}

    @staticmethod
    def everything() -> Scope:
        return Scope(all=True)

    @staticmethod
    def of(changes: Iterable[Change], snapshot: Snapshot) -> Scope:
        """What may have something new to decide after `changes`; `snapshot` is the one they led to (or a later one)."""
        gathering = _Gathering(snapshot)
        for change in changes:
            gathering.add(change.object)
        return gathering.scope()

    def with_services(self, services: Iterable[str]) -> Scope:
        more = dict.fromkeys((*self.ids.get("service", ()), *services))
        return self if self.all else Scope(ids={**self.ids, "service": tuple(sorted(more))})

    def services_in(self, snapshot: Snapshot) -> list[str]:
        if self.all:
            return sorted(snapshot.table(Service))
        return [id for id in self.ids.get("service", ()) if snapshot.get(Service, id) is not None]

    def environments_in(self, snapshot: Snapshot) -> list[Environment]:
        """Always all: there are few, and looking at one costs its hosts' number only when a host is silent."""
        return [environment for _, environment in sorted(snapshot.table(Environment).items())]

    def things_in(self, draft: Draft, kind: type[T]) -> list[T]:
        """Those in scope, and those of the kind that the draft itself wrote."""
        if self.all:
            return draft.table(kind)
        ids = dict.fromkeys(self.ids.get(kind_of(kind), ())) | dict.fromkeys(draft.written(kind))
        found = [draft.get(kind, id) for id in sorted(ids)]
        return [thing for thing in found if thing is not None]


class _Gathering:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._ids: dict[str, dict[str, None]] = {}
        self._freed: dict[str, None] = {}
        self._with_units: dict[str, None] = {}
        """Services of which a unit changed."""
        self._neighbours: dict[str, dict[str, dict[str, None]]] = {}
        """Stack -> name of a service -> ids of those that name it or that it names."""

    def scope(self) -> Scope:
        for environment in sorted(self._freed):
            for unit in self._snapshot.unplaced_units(environment):
                self._note(Service, unit.service)
        return Scope(ids={kind: tuple(sorted(ids)) for kind, ids in sorted(self._ids.items())})

    def _note(self, kind: type[Object], id: str) -> None:
        self._ids.setdefault(kind_of(kind), {})[id] = None

    def add(self, thing: Object) -> None:
        match thing:
            case Unit():
                self._unit(thing)
            case Service():
                self._service(thing)
                self._freed[thing.environment] = None
            case Revision():
                self._note(Service, thing.service)
            case Host():
                self._host(thing)
            case Environment():
                for service in self._snapshot.in_environment(Service, thing.id):
                    self._note(Service, service.id)
            case Network() | Volume() | File():
                self._note(type(thing), thing.id)
                self._freed[thing.environment] = None
            case Stack():
                self._note(Stack, thing.id)
                for service in self._snapshot.services_of_stack(StackId(thing.id)):
                    self._note(Service, service.id)

    def _unit(self, unit: Unit) -> None:
        if not unit.live:
            self._freed[unit.environment] = None
        for network in unit.addresses:
            self._note(Network, network)
        revision = self._snapshot.get(Revision, unit.revision)
        for volume in volumes_of(revision) if revision is not None else ():
            self._note(Volume, volume)
        if unit.service in self._with_units:
            return
        self._with_units[unit.service] = None
        service = self._snapshot.get(Service, unit.service)
        if service is not None:
            self._of_service(service)
            for id in self._naming(service.stack).get(service.name, ()):
                self._note(Service, id)

    def _naming(self, stack: StackId) -> dict[str, dict[str, None]]:
        """How a unit fares matters to those that its service depends on or shares with, and the other way round. What
        they then do is followed further by `converge` itself."""
        if stack in self._neighbours:
            return self._neighbours[stack]
        services = self._snapshot.services_of_stack(stack)
        ids = {service.name: service.id for service in services}
        found: dict[str, dict[str, None]] = {}
        for service in services:
            revision = self._snapshot.get(Revision, service.revision)
            if revision is None:
                continue
            spec = revision.spec
            for name in (
                *(dependency.service for dependency in spec.depends_on),
                *(sharing.service for sharing in spec.container.sharing),
            ):
                if name in ids:
                    found.setdefault(service.name, {})[ids[name]] = None
                    found.setdefault(name, {})[service.id] = None
        self._neighbours[stack] = found
        return found

    def _service(self, service: Service) -> None:
        """The service, and all of its stack: dependencies, order of going and shared containers reach no further."""
        self._of_service(service)
        for other in self._snapshot.services_of_stack(service.stack):
            self._note(Service, other.id)

    def _of_service(self, service: Service) -> None:
        """The service itself and what it uses."""
        self._note(Stack, service.stack)
        self._note(Service, service.id)
        for revision in self._snapshot.revisions_of_service(ServiceId(service.id)):
            for network in networks_of(revision):
                self._note(Network, network)
            for file in files_of(revision):
                self._note(File, file)
            for volume in volumes_of(revision):
                self._note(Volume, volume)

    def _host(self, host: Host) -> None:
        self._freed[host.environment] = None
        for unit in self._snapshot.units_on_host(HostId(host.id)):
            self._note(Service, unit.service)
            for network in unit.addresses:
                self._note(Network, network)
        for service in self._snapshot.in_environment(Service, host.environment):
            revision = self._snapshot.get(Revision, service.revision)
            if revision is not None and revision.spec.mode.startswith("global"):
                self._note(Service, service.id)
        for volume in self._snapshot.in_environment(Volume, host.environment):
            if volume.removing:
                self._note(Volume, volume.id)
