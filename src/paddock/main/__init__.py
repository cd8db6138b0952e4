"""`paddock`: the one place that ties the command line, the server, the agent and the playground together.

Each is imported only when its command is called, so that a client needs none of the others.
"""

from __future__ import annotations

import gc
import os
import sys
import threading


def main() -> None:
    gc.disable()  # Looking for garbage in what is imported is a sixth of the time to start. The loader ends it.
    from paddock.cli.app import run
    from paddock.main.programs import PROGRAMS

    code = run(sys.argv[1:], PROGRAMS)
    if threading.active_count() == 1 and not any(word in PROGRAMS for word in sys.argv):
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> None:
    """At once: a client keeps nothing, and Python spends a fifth of a command's time on taking its modules apart."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    os._exit(code)
