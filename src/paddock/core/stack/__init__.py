"""A canonical compose model -> the stack specification that the cluster is asked for."""

from .findings import NO_ORIGINS, Origins
from .from_compose import from_project
from .translate import Sources, Translated, stack_spec

__all__ = ["NO_ORIGINS", "Origins", "Sources", "Translated", "from_project", "stack_spec"]
