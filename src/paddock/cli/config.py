"""`paddock config`"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from paddock.cli.command import App, Argument, Option
from paddock.cli.output import say
from paddock.cli.project import DIRECTORY, ENV_FILE, FILE, NAME, PROFILE, Asked, Disk, options
from paddock.core.compose import (
    Project,
    image_names,
    load,
    profile_names,
    render_json,
    render_yaml,
    service_hashes,
    service_names,
    volume_names,
)
from paddock.model.errors import UserError

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock config                        what docker compose config prints for the same files
  paddock config --format json | jq .services
  paddock config -q && echo good        only check
  paddock config --hash '*'             the hash of each service's configuration""",
)
def config(
    services: list[str] | None = Argument(None, metavar="SERVICE", help="Only these and what they need."),
    file: list[str] = FILE,
    name: str = NAME,
    env_file: list[str] = ENV_FILE,
    profile: list[str] = PROFILE,
    directory: str = DIRECTORY,
    output: str = Option("", "--output", "-o", metavar="FILE", help="Write to a file."),
    format: str = Option("yaml", "--format", metavar="FORMAT", help="yaml or json."),
    quiet: bool = Option(False, "--quiet", "-q", help="Only check; print nothing."),
    no_interpolate: bool = Option(False, "--no-interpolate", help="Leave variables as they are."),
    no_normalize: bool = Option(False, "--no-normalize", help="Do not fill in defaults."),
    no_path_resolution: bool = Option(False, "--no-path-resolution", help="Leave relative paths."),
    no_consistency: bool = Option(False, "--no-consistency", help="Do not check that parts fit together."),
    list_services: bool = Option(False, "--services", help="Print the services' names."),
    list_volumes: bool = Option(False, "--volumes", help="Print the volumes' names."),
    list_images: bool = Option(False, "--images", help="Print the images' names."),
    list_profiles: bool = Option(False, "--profiles", help="Print the profiles' names."),
    hash_of: str = Option("", "--hash", metavar="SERVICES", help="Print hashes: of a,b or of all with '*'."),
) -> None:
    """Print the compose files as one canonical model, or what is wrong with them."""
    if format not in ("yaml", "json"):
        raise UserError(f"--format {format} is not known", hint="use yaml or json")
    everything = list_profiles
    asked = Asked(
        tuple(file), name, tuple(env_file), ("*",) if everything else tuple(profile), directory, tuple(services or ())
    )
    wanted = msgspec.structs.replace(
        options(asked), interpolate=not no_interpolate, normalize=not no_normalize,
        resolve_paths=not no_path_resolution, consistency=not no_consistency, resolve_environment=not hash_of,
    )  # fmt: skip
    project = load(wanted, Disk())
    for warning in project.warnings:
        say(f"warning: {warning}")
    for chosen, names in (
        (list_services, service_names), (list_volumes, volume_names), (list_images, image_names),
        (list_profiles, profile_names),
    ):  # fmt: skip
        if chosen:
            _write("".join(f"{each}\n" for each in names(project)), output)
            return
    if hash_of:
        _write(_hashes(project, hash_of), output)
    elif not quiet:
        _write(render_json(project) if format == "json" else render_yaml(project), output)


def _hashes(project: Project, wanted: str) -> str:
    hashes = service_hashes(project)
    names = sorted(hashes) if wanted == "*" else wanted.split(",")
    for name in names:
        if name not in hashes:
            raise UserError(f"no such service: {name}", hint=f"there are: {', '.join(sorted(hashes))}")
    return "".join(f"{name} {hashes[name]}\n" for name in names)


def _write(text: str, file: str) -> None:
    if file:
        Path(file).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
