"""`paddock`: the one place that ties the command line, the server, the agent and the playground together.

Each is imported only when its command is called, so that a client needs none of the others.
"""

from __future__ import annotations

import sys

from paddock.cli.app import CLUSTER, Entry, run

PROGRAMS = {
    "playground": Entry("paddock.main.playground", CLUSTER, "Several real hosts on this machine, to try things on."),
    "server": Entry("paddock.main.server", CLUSTER, "Run the server, install it, back it up."),
    "agent": Entry("paddock.main.agent", CLUSTER, "Make this machine a host."),
}


def main() -> None:
    sys.exit(run(sys.argv[1:], PROGRAMS))
