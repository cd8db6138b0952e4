"""Commands of `paddock` that are more than clients."""

from __future__ import annotations

from paddock.cli.app import CLUSTER, Entry

PROGRAMS = {
    "playground": Entry("paddock.main.playground", CLUSTER, "Several real hosts on this machine, to try things on."),
    "server": Entry("paddock.main.server", CLUSTER, "Run the server, install it, back it up."),
    "agent": Entry("paddock.main.agent", CLUSTER, "Make this machine a host."),
}
