"""Services that run the very image that was built for them, whatever its name comes to mean."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from paddock.core.images.reference import tagged
from paddock.model.specs import ContainerSpec, StackSpec

IMAGE_LABEL = "com.docker.compose.image"


def pinned(spec: StackSpec, ids: Mapping[str, str]) -> StackSpec:
    """`ids`: an image's name -> its id. A changed id is a changed service."""
    known = {tagged(name): id for name, id in ids.items()}

    def one(container: ContainerSpec) -> ContainerSpec:
        id = known.get(tagged(container.image), "")
        if not id:
            return container
        labels = {**(container.config.get("Labels") or {}), IMAGE_LABEL: id}
        return replace(container, image_id=id, pull="missing", config={**container.config, "Labels": labels})

    services = {
        name: replace(
            service,
            container=one(service.container),
            sidekicks={role: one(sidekick) for role, sidekick in service.sidekicks.items()},
        )
        for name, service in spec.services.items()
    }
    return replace(spec, services=services)
