"""The text a host joins with: where the server is, how to know it, and a secret good for one host."""

from __future__ import annotations

import base64
import binascii

import msgspec

from paddock.model.errors import UserError

_PREFIX = "paddock-join."
_LONGEST = 4096


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """`server` is the API's address (`https://…`), `ca` the SHA-256 of the CA in DER form, hex."""

    server: str
    ca: str
    secret: str


def encode_token(token: JoinToken) -> str:
    return _PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def decode_token(text: str) -> JoinToken:
    """Raises `UserError` for anything that is not a whole token."""
    text = text.strip()
    body = text.removeprefix(_PREFIX)
    if body == text or len(text) > _LONGEST:
        raise UserError("this is not a join token", hint="copy all of what `paddock hosts add` printed")
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=JoinToken)
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise UserError("the join token is damaged", hint="copy all of what `paddock hosts add` printed") from error
