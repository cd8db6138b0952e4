"""`paddock build`"""

from __future__ import annotations

import os

from paddock.cli import output
from paddock.cli.building import Manner, image_ids
from paddock.cli.command import App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.output import say
from paddock.cli.project import DIRECTORY, ENV_FILE, FILE, NAME, PROFILE, Asked, read_stack
from paddock.core.stack.builds import Build
from paddock.model.errors import UserError

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock build                         every service that says `build:`
  paddock build web --no-cache
  paddock build --build-arg VERSION=1.2 --push
  paddock up -d --build                 build, then run what was built""",
)
def build(
    services: list[str] | None = Argument(None, metavar="SERVICE", help="Only these."),
    file: list[str] = FILE,
    name: str = NAME,
    env_file: list[str] = ENV_FILE,
    profile: list[str] = PROFILE,
    directory: str = DIRECTORY,
    build_arg: list[str] = Option([], "--build-arg", metavar="NAME=VALUE", help="Over those of the files."),
    no_cache: bool = Option(False, "--no-cache", help="Do every step again."),
    pull: bool = Option(False, "--pull", help="Ask registries for newer base images."),
    push: bool = Option(False, "--push", help="Push what was built to its registry."),
    quiet: bool = Option(False, "--quiet", "-q", help="Do not print what the builder says."),
    as_json: bool = Option(False, "--json", help="Print what was built as JSON."),
) -> None:
    """Build images on the cluster, from directories of this machine.

    One host builds; hosts that need the image take it from there.
    """
    asked = Asked(tuple(file), name, tuple(env_file), tuple(profile), directory, tuple(services or ()))
    wanted = [one for one in read_stack(asked).builds if not services or one.service in services]
    if not wanted:
        say("no service says `build:`")
    manner = Manner(
        when="always", args=arguments(tuple(build_arg)), no_cache=no_cache, pull=pull, push=push, quiet=quiet
    )
    ids = run(_build(wanted, manner)) if wanted else {}
    built = [{"service": one.service, "image": one.image, "id": ids[one.image]} for one in wanted]
    if as_json:
        output.print_json(built)
        return
    for line in built:
        say(f"{line['service']}: built {line['image']} ({line['id'][7:19]})")


async def _build(wanted: list[Build], manner: Manner) -> dict[str, str]:
    async with connected() as client, client.docker() as engine:
        return await image_ids(engine, wanted, manner)


def arguments(given: tuple[str, ...]) -> dict[str, str]:
    """Without a value it is taken from the environment. Raises `UserError`."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name:
            raise UserError(f"--build-arg {text} is not NAME=VALUE", hint="for example --build-arg VERSION=1.2")
        if equals or name in os.environ:
            found[name] = value if equals else os.environ[name]
    return found
