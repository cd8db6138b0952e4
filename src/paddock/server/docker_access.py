"""Certificates for Docker clients: whose key asked for it, which environment it opens, and what it may do there.

The certificate is good as long as the API key it was made with, and for no more than that: who deletes the key ends it.
"""

from __future__ import annotations

import msgspec

from paddock.model.errors import Forbidden
from paddock.model.objects import ApiKey, Environment
from paddock.model.snapshot import Snapshot
from paddock.server.auth import Caller
from paddock.server.authority import Authority, common_name
from paddock.wire.api import DockerCertificate, DockerCertificateRequest

PREFIX = "docker"
FULL, PLAIN = "full", "plain"


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who comes in, by a certificate or a key, and what it may do there."""

    environment: str
    name: str
    privileged: bool


def issue(
    authority: Authority, caller: Caller, environment: Environment, request: DockerCertificateRequest, now_s: float
) -> DockerCertificate:
    """The caller fills in the port. Raises `UserError` for a request that is none."""
    rights = FULL if request.privileged else PLAIN
    certificate, _ = authority.sign_host(request.csr, f"{PREFIX}:{caller.key}:{environment.id}:{rights}", now_s)
    return DockerCertificate(certificate=certificate, ca=authority.pem)


def holder_of(certificate: bytes, snapshot: Snapshot, now_s: float) -> Holder:
    """Raises `Forbidden`: for certificates of hosts, and those whose key or environment is gone."""
    parts = common_name(certificate).split(":")
    if len(parts) != 4 or parts[0] != PREFIX:
        raise Forbidden("this certificate is not one for Docker clients", hint="make one with `paddock context create`")
    _, key_id, environment, rights = parts
    key = snapshot.get(ApiKey, key_id)
    if key is None or (key.expires_at_s and now_s >= key.expires_at_s):
        raise Forbidden("the API key this certificate was made with is gone", hint="`paddock context create` again")
    if key.environment not in ("", environment) or snapshot.get(Environment, environment) is None:
        raise Forbidden("the environment of this certificate is gone", hint="`paddock context create` again")
    return Holder(environment=environment, name=key.name, privileged=rights == FULL and key.privileged)
