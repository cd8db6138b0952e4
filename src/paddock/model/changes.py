"""What a decision wants written, with its reason. The store commits a tuple of these as one, or none of them."""

from __future__ import annotations

import msgspec

from paddock.model.objects import AnyObject


class Put(msgspec.Struct, frozen=True, kw_only=True, tag="put", gc=False):
    """Create (`object.version == 0`) or replace the object as it was at `object.version`.

    `created` is filled in on commit, where the object's own version no longer tells.
    """

    object: AnyObject
    reason: str
    created: bool = False


class Delete(msgspec.Struct, frozen=True, kw_only=True, tag="delete", gc=False):
    """`object` is what was read; the store refuses if it has changed since."""

    object: AnyObject
    reason: str


Change = Put | Delete


class Commit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the watch delivers: changes as committed (objects carry the new version), in order, without gaps."""

    version: int
    at_s: float
    changes: tuple[Change, ...]
