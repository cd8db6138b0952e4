from __future__ import annotations

import stat
from pathlib import Path

import pytest

from paddock.client.config import Context, Contexts, config_file, discover, load, save
from paddock.client.connection import error_of
from paddock.model.errors import Broken, Conflict, Invalid, NotFound, TooOld, Transient, UserError

CA = "-----BEGIN CERTIFICATE-----\n"


def test_contexts_are_kept_privately_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.json"
    assert load(path) == Contexts()
    kept = Contexts(current="home", contexts={"home": Context(server="https://h:7443", ca=CA, key_file="/k")})
    save(path, kept)
    assert load(path) == kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    key, ca = tmp_path / "key", tmp_path / "ca.crt"
    key.write_text("paddock_1_2\n")
    ca.write_text(CA)
    config = tmp_path / "config.json"
    home = Context(server="https://home:7443", ca="of home", key_file=str(key), environment="blue")
    save(config, Contexts(current="home", contexts={"home": home}))
    variables = {"PADDOCK_CONFIG": str(config)}
    found = discover(variables)
    assert (found.server, found.ca, found.key, found.environment) == (
        "https://home:7443",
        "of home",
        "paddock_1_2",
        "blue",
    )
    assert found.key not in repr(found)
    other = discover(
        {**variables, "PADDOCK_SERVER": "https://x", "PADDOCK_CA_FILE": str(ca), "PADDOCK_ENVIRONMENT": "e"}
    )
    assert (other.server, other.ca, other.key, other.environment) == ("https://x", CA, "paddock_1_2", "e")
    with pytest.raises(NotFound, match="work"):
        discover({**variables, "PADDOCK_CONTEXT": "work"})


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    nothing = {"HOME": str(tmp_path)}
    assert config_file(nothing) == tmp_path / ".config" / "paddock" / "config.json"
    with pytest.raises(UserError, match="no server"):
        discover(nothing)
    with pytest.raises(UserError, match="PADDOCK_CA_FILE"):
        discover({**nothing, "PADDOCK_SERVER": "https://x"})
    with pytest.raises(UserError, match="/no/such"):
        discover({**nothing, "PADDOCK_SERVER": "https://x", "PADDOCK_CA_FILE": "/no/such"})
    config_file(nothing).parent.mkdir(parents=True)
    config_file(nothing).write_text("{")
    with pytest.raises(UserError, match="damaged"):
        discover(nothing)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (404, b'{"code":"not_found","message":"m"}', NotFound, "not_found"),
        (409, b'{"code":"conflict","message":"m"}', Conflict, "conflict"),
        (410, b'{"code":"too_old","message":"m"}', TooOld, "too_old"),
        (401, b'{"code":"unauthorized","message":"m"}', UserError, "unauthorized"),
        (403, b'{"code":"token_used","message":"m"}', UserError, "token_used"),
        (422, b'{"code":"invalid","message":"m","problems":[{"message":"p"}]}', Invalid, "invalid"),
        (503, b'{"code":"transient","message":"m"}', Transient, "transient"),
        (500, b'{"code":"internal","message":"m"}', Broken, "internal"),
        (502, b"<html>a proxy</html>", Transient, "transient"),
    ],
)
def test_errors_arrive_as_what_they_were_raised_as(status: int, body: bytes, kind: type[Exception], code: str) -> None:
    error = error_of(status, body)
    assert isinstance(error, kind)
    assert error.code == code
