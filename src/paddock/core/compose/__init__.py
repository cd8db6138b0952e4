"""Compose files -> one canonical project, or every problem with its file and line."""

from __future__ import annotations

from .files import Files, Options
from .origin import Origin
from .project import Project, load
from .render import (
    canonical,
    image_names,
    profile_names,
    render_json,
    render_yaml,
    service_hashes,
    service_names,
    volume_names,
)

__all__ = [
    "Files",
    "Options",
    "Origin",
    "Project",
    "canonical",
    "image_names",
    "load",
    "profile_names",
    "render_json",
    "render_yaml",
    "service_hashes",
    "service_names",
    "volume_names",
]
