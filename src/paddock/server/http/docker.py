"""Access for Docker clients."""

from __future__ import annotations

import msgspec
from litestar import post
from litestar.params import JSONBody

from paddock.server.docker_access import issue
from paddock.server.http.api import TheApi, TheCaller, TheEnvironment
from paddock.wire.api import DockerCertificate, DockerCertificateRequest


@post("/v1/environments/{environment_name:str}/docker-certificates", tags=["docker"])
async def create_docker_certificate(
    api: TheApi, caller: TheCaller, environment: TheEnvironment, data: JSONBody[DockerCertificateRequest]
) -> DockerCertificate:
    """A client certificate for the Docker API, good as long as the key it was asked for with."""
    made = issue(api.authority, caller, environment, data, api.world.now_s())
    return msgspec.structs.replace(made, port=api.docker_port)


ROUTES = [create_docker_certificate]
