"""What rollouts and drains have to know of a service: may two units of a slot be there at once?"""

from __future__ import annotations

from paddock.core.attachments import attachments, stays_on_host
from paddock.core.draft import Draft
from paddock.core.schedule.ports import containers_of
from paddock.model.objects import Service, Volume
from paddock.model.specs import UpdatePolicy


def policy_of(draft: Draft, service: Service) -> UpdatePolicy:
    """Of its rollout, where one is under way: there may be another one for going back."""
    spec = draft.spec(service)
    back = service.rollout is not None and service.rollout.back
    return spec.rollback if back else spec.update


def starts_first(draft: Draft, service: Service) -> bool:
    """A rollout of the service puts the new unit beside the old one."""
    return policy_of(draft, service).order == "start-first" and start_first_possible(draft, service)


def start_first_possible(draft: Draft, service: Service) -> bool:
    return not start_first_obstacle(draft, service)


def start_first_obstacle(draft: Draft, service: Service) -> str:
    """Why the next unit of a slot cannot be started before the last has gone, whatever the host; "" if it can."""
    revision = draft.revision(service)
    spec = revision.spec
    if spec.container_name:
        return f"its container is to be called {spec.container_name}, and there can be only one of that name"
    if any(
        attachment.ipv4_address or attachment.ipv6_address for _, attachment in attachments(revision, spec.container)
    ):
        return "it has an address of its own"
    if spec.container.sharing:
        return "it shares with the container of another service"
    written = {
        mount.volume for _, container in containers_of(spec) for mount in container.volumes if not mount.read_only
    }
    for key in sorted(written):
        volume = draft.get(Volume, revision.volumes.get(key, ""))
        if volume is not None and stays_on_host(volume):
            return f"it writes to volume {volume.name}, which is on one host"
    return ""
