"""The Litestar application: routes, what they are handed, limits, errors, and the schema at /schema."""

from __future__ import annotations

from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from litestar.types import ASGIApp, Scope

import paddock
from paddock.model.objects import Environment
from paddock.server.auth import Caller, environment_for
from paddock.server.http import adoption, containers, docker, events, hosts, registries, server, stacks
from paddock.server.http.answers import exception_handlers
from paddock.server.http.api import Api, TheApi, TheCaller
from paddock.server.http.gate import CALLER, Gate

MOST_REQUEST_BYTES = 16 * 2**20


def application(api: Api) -> ASGIApp:
    def provide_api() -> Api:
        return api

    app = Litestar(
        route_handlers=[
            *server.ROUTES, *hosts.ROUTES, *stacks.ROUTES, *containers.ROUTES, *events.ROUTES, *docker.ROUTES,
            *adoption.ROUTES,
            *registries.ROUTES,
        ],
        dependencies={
            "api": Provide(provide_api, sync_to_thread=False),
            "caller": Provide(provide_caller, sync_to_thread=False),
            "environment": Provide(provide_environment, sync_to_thread=False),
        },
        exception_handlers=exception_handlers(api.world),
        request_max_body_size=MOST_REQUEST_BYTES,
        openapi_config=schema(),
        logging_config=None,
        debug=False,
    )  # fmt: skip
    return Gate(app, api.store, api.world)


def provide_caller(scope: Scope) -> Caller:
    caller = scope.get(CALLER)
    if not isinstance(caller, Caller):
        raise NotAuthorizedException("an API key is needed")
    return caller


def provide_environment(environment_name: FromPath[str], api: TheApi, caller: TheCaller) -> Environment:
    return environment_for(caller, api.store.durable(), environment_name)


def schema() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Paddock",
        version=paddock.__version__,
        summary="One place to run containers on many Linux machines.",
        path="/schema",
        render_plugins=[JsonRenderPlugin(path="/openapi.json"), YamlRenderPlugin(path="/openapi.yaml")],
        components=Components(
            security_schemes={"key": SecurityScheme(type="http", scheme="bearer", description="An API key.")}
        ),
        security=[{"key": []}],
    )
