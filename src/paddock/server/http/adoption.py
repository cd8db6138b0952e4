"""Routes on compose projects that were started without Paddock."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody

from paddock.core.adoption import Adoption, adopt
from paddock.model.errors import UserError
from paddock.model.objects import Host
from paddock.model.snapshot import Snapshot
from paddock.model.specs import StackSpec
from paddock.server.adopting import project_named, projects
from paddock.server.committing import Decision
from paddock.server.http.api import TheApi, TheEnvironment
from paddock.server.planning import planned
from paddock.wire.api import Adoptable, Adopted, AdoptedContainer

BELOW = "/v1/environments/{environment_name:str}"


@get(f"{BELOW}/adoptable", tags=["stacks"])
async def list_adoptable(api: TheApi, environment: TheEnvironment) -> list[Adoptable]:
    """Compose projects on hosts that are not the cluster's."""
    snapshot = api.snapshot
    found = []
    for project in await projects(api.plane, environment.id):
        host = snapshot.get(Host, project.host)
        found.append(
            Adoptable(
                project=project.name,
                host=host.name if host is not None else project.host,
                services=tuple(dict.fromkeys(sorted(one.service for one in project.containers))),
                containers=len(project.containers),
                files=project.files,
                directory=project.directory,
            )
        )
    return found


@post(f"{BELOW}/stacks/{{name:str}}/adopt", status_code=200, tags=["stacks"])
async def adopt_stack(
    api: TheApi,
    environment: TheEnvironment,
    name: FromPath[str],
    data: JSONBody[StackSpec],
    host: FromQuery[str] = "",
    dry_run: FromQuery[bool] = False,
) -> Adopted:
    """Takes over the project of that name, whose containers go on running as they are."""
    if data.name != name:
        raise UserError(f"the stack in the address is {name!r}, the one in the body {data.name!r}")
    seen = await project_named(api.plane, environment.id, name, host)
    sealed = api.plane.sealer.seal_all(environment.id, data)

    def decide(snapshot: Snapshot) -> Decision[Adoption]:
        found = adopt(snapshot, data, seen, api.world.now_s(), sealed=sealed)
        return () if dry_run else found.changes, found

    found, version = await api.decide(decide)
    where = api.snapshot.get(Host, seen.host)
    return Adopted(
        version=version,
        host=where.name if where is not None else seen.host,
        containers=tuple(
            AdoptedContainer(name=unit.name, id=unit.adopts, service=unit.service_name, slot=unit.slot)
            for unit in found.units
        ),
        notes=found.notes,
        plan=planned(found.plan),
        dry_run=dry_run,
    )


ROUTES = [list_adoptable, adopt_stack]
