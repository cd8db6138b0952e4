"""One unit on one host: what it is, what to do next, what to say about it. The only rules of the agent's keepers."""

from paddock.core.lifecycle.next_step import next_step
from paddock.core.lifecycle.report import report_of
from paddock.core.lifecycle.state import remember, take_over

__all__ = ["next_step", "remember", "report_of", "take_over"]
