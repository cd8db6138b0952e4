"""When are two revisions the same to a container?

Only what reaches the container counts: replicas, policies, placement and labels of the service replace nothing (as with
Rancher's configuration hash, which left out scale and metadata).
"""

from __future__ import annotations

from paddock.core.draft import GONE, Draft
from paddock.model.objects import Revision, Service, Unit, UnitDesired


def same_container(one: Revision, other: Revision) -> bool:
    """Units of either could be taken for units of the other."""
    if one.id == other.id:
        return True
    return (
        one.spec.container == other.spec.container
        and one.spec.sidekicks == other.spec.sidekicks
        and one.spec.container_name == other.spec.container_name
        and one.spec.links == other.spec.links
        and _references(one) == _references(other)
    )


def _references(revision: Revision) -> tuple[object, ...]:
    return revision.networks, revision.volumes, revision.secrets, revision.configs


def other_container(draft: Draft, service: Service, unit: Unit) -> bool:
    """The unit's containers are not what the service wants now."""
    return unit.revision != service.revision and not same_container(draft.revision(unit), draft.revision(service))


def current(draft: Draft, service: Service, units: list[Unit]) -> Unit:
    """The unit that has the slot: the newest, unless that goes or is gone, and one before it is still there which is
    what the service wants (a rollout was taken back), or the newest was not either (the wish has moved on).
    """
    newest = units[-1]
    if len(units) == 1 or (newest.desired < UnitDesired.STOPPED and newest.state not in GONE):
        return newest
    moved_on = newest.state in GONE and outdated(draft, service, newest)
    for unit in reversed(units[:-1]):
        if unit.live and unit.desired < UnitDesired.STOPPED and (moved_on or not outdated(draft, service, unit)):
            return unit
    return newest


def outdated(draft: Draft, service: Service, unit: Unit) -> bool:
    """The unit is to be replaced, or restarted because somebody asked for it."""
    return unit.forced < service.forced or other_container(draft, service, unit)
