"""Advice about a draft: what makes results worse or dearer than they need be.

Nothing here blocks. A ``Suggestion`` names its field and an improvement; where that is plain and
safe it brings a ``Fix``, which an editor still has to save. Pure functions of
what a draft holds, so that they run on every pause in typing.
"""

from apps.agents.content import Content

from .draft import whole_hints
from .fields import field_hints, fields_of
from .suggestions import Fix, Suggestion

#: More than anybody reads at once; the panel says how many there are besides.
MAX_HINTS = 60

__all__ = ["MAX_HINTS", "Fix", "Suggestion", "lint"]


def lint(content: Content) -> list[Suggestion]:
    """Return all hints about a draft without faults: about the whole first, then field by field."""
    schema = content.editor["schema"]
    found = list(whole_hints(content))
    for field in fields_of(schema):
        found += field_hints(field)
    return found
