"""Building on the cluster what compose files describe: the context goes from here to one host's builder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from paddock.cli.build_context import context_of, for_buildkit, sent
from paddock.cli.output import colours_wanted, name_colour, painted, say
from paddock.core.images.build_output import BuildOutput
from paddock.core.images.dockerfile import mounts_of_session, needs_buildkit
from paddock.core.images.reference import tagged
from paddock.core.stack.builds import Build
from paddock.model.errors import Invalid, Refused, UserError
from paddock.wire.engine_errors import EngineError, EngineNotFound
from paddock.wire.engine_http import EngineHttp

SILENCE_S = 3600.0
"""A step may run that long without a word."""
CALL_TIMEOUT_S = 60.0
CLASSIC, BUILDKIT = "1", "2"


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """`when`: "always", "missing" or "never". `args`: build arguments over those of the files."""

    when: str = "missing"
    args: dict[str, str] = {}
    no_cache: bool = False
    pull: bool = False
    quiet: bool = False
    push: bool = False


async def image_ids(engine: EngineHttp, builds: Sequence[Build], manner: Manner) -> dict[str, str]:
    """Image name -> id, for all there are when it is done. Raises before the first build what can be known then."""
    to_build: list[Build] = []
    ids: dict[str, str] = {}
    for build in builds:
        id = await _there(engine, build, manner)
        if id:
            ids[build.image] = id
        elif manner.when != "never":
            to_build.append(build)
        elif not build.named:
            hint = "build it with `paddock build`, or leave --no-build away"
            raise UserError(f"{build.service}: no host has the image {build.image}", hint=hint)
    if problems := tuple(problem for build in to_build for problem in build.problems):
        raise Invalid(problems)
    for build in to_build:
        ids[build.image] = await build_image(engine, build, manner)
    return ids


async def known_ids(engine: EngineHttp, builds: Sequence[Build]) -> dict[str, str]:
    """Of those that are on the cluster already."""
    found = {build.image: await image_id(engine, build.image) for build in builds}
    return {image: id for image, id in found.items() if id}


async def _there(engine: EngineHttp, build: Build, manner: Manner) -> str:
    """The id of the image that makes building unnecessary, or ""."""
    if manner.when == "always" or (build.pull_policy == "build" and manner.when != "never"):
        return ""
    id = await image_id(engine, build.image)
    wants_pull = build.named and (build.pull_policy == "always" or (not id and build.pull_policy != "never"))
    if not wants_pull:
        return id
    try:
        await pull(engine, build.image)
    except Refused as error:
        say(f"{build.service}: {build.image} could not be pulled: {error.message}")
        return id
    return await image_id(engine, build.image)


async def image_id(engine: EngineHttp, name: str) -> str:
    try:
        found: dict[str, Any] = await engine.json("GET", f"/images/{name}/json", timeout_s=CALL_TIMEOUT_S)
    except EngineNotFound:
        return ""
    return str(found["Id"])


async def pull(engine: EngineHttp, image: str) -> None:
    """Raises `Refused` with what the registry says."""
    name, _, tag = tagged(image).rpartition(":")
    await _followed(engine, "/images/create", {"fromImage": name, "tag": tag})


async def push(engine: EngineHttp, image: str) -> None:
    """Raises `Refused` with what the registry says."""
    name, _, tag = tagged(image).rpartition(":")
    await _followed(engine, f"/images/{name}/push", {"tag": tag})


async def _followed(engine: EngineHttp, path: str, query: dict[str, str]) -> None:
    async with engine.stream("POST", path, query=query, idle_timeout_s=SILENCE_S) as answer:
        async for line in answer.json_lines():
            if "error" in line:
                raise EngineError(answer.status, str(line["error"]), path)


async def build_image(engine: EngineHttp, build: Build, manner: Manner) -> str:
    """-> the image's id. What the builder says is told as it comes. Raises `Refused` when a step fails."""
    name = painted(build.service, name_colour(build.service), wanted=colours_wanted(sys.stderr))
    output = BuildOutput()
    query = _query(build, manner)
    body = None
    if build.remote:
        query["remote"] = build.context
        query["dockerfile"] = build.dockerfile
    else:
        context = context_of(build)
        query["dockerfile"] = context.dockerfile
        query["version"] = _version(build, context.text)
        body = sent(context if query["version"] == CLASSIC else for_buildkit(context))
    try:
        async with engine.stream("POST", "/build", query=query, body=body, idle_timeout_s=SILENCE_S) as answer:
            async for message in answer.json_lines():
                for line in output.hear(message):
                    if not manner.quiet:
                        say(f"{name} | {line}")
    except EngineError as error:
        output.error = error.message
    if output.error or not output.image:
        raise Refused(
            f"{build.service}: the build failed: {output.error or 'the builder ended without an image'}",
            hint="nothing was changed; build again once it is mended",
        )
    if manner.push:
        for image in (build.image, *build.tags):
            say(f"{name} | pushing {image}")
            await push(engine, image)
    return output.image


def _query(build: Build, manner: Manner) -> dict[str, str | int | bool | tuple[str, ...]]:
    options = dict(build.options)
    if manner.args:
        args = msgspec.json.decode(str(options.get("buildargs") or "{}"), type=dict[str, str])
        options["buildargs"] = msgspec.json.encode({**args, **manner.args}).decode()
    if manner.no_cache:
        options["nocache"] = "1"
    if manner.pull:
        options["pull"] = "1"
    return {"t": (build.image, *build.tags), "rm": "1", "forcerm": "1", "version": CLASSIC, **options}


def _version(build: Build, dockerfile: str) -> str:
    """The classic builder, unless the Dockerfile says what only BuildKit reads. Raises `UserError`."""
    wish = os.environ.get("DOCKER_BUILDKIT", "")
    if line := mounts_of_session(dockerfile):
        raise UserError(
            f"{build.service}: secrets and SSH agents of this machine cannot be mounted into a build here: {line}",
            hint="build it with `paddock docker buildx` or `paddock compose build`, then `paddock up --no-build`",
        )
    if wish == "0":
        return CLASSIC
    return BUILDKIT if wish == "1" or needs_buildkit(dockerfile) else CLASSIC
