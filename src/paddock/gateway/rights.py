"""Who may not reach into hosts does not get inside containers that do."""

from __future__ import annotations

from paddock.core.powers import check_powers
from paddock.gateway.call import Call
from paddock.gateway.finding import Found
from paddock.model.objects import HostId, Revision
from paddock.wire.engine_powers import container_powers


async def check_reach(call: Call, found: Found) -> None:
    """Before a caller gets at what is inside a container, or shares what it has. Raises `Forbidden`."""
    if call.caller.privileged:
        return
    revision = call.cluster.snapshot().get(Revision, found.unit.revision) if found.unit is not None else None
    spec = revision.spec if revision is not None else None
    asked = await container_powers(call.cluster.engine(HostId(found.host.id)), found.engine_name, spec)
    check_powers(asked, privileged=False)
