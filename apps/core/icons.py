"""Icons as inline SVG, from the heroicons package; none is copied into this project."""

from functools import lru_cache

from django.utils.safestring import SafeString, mark_safe
from heroicons.templatetags.heroicons import heroicon_micro, heroicon_outline

SMALL = 16  # heroicons draws a set of its own for this size: fewer strokes, filled


@lru_cache(maxsize=256)
def render_icon(name: str, size: int = SMALL, label: str = "") -> SafeString:
    """Return the icon `name`, `size` pixels square. Raises IconDoesNotExist for an unknown name.

    Cached, because the package parses and prints XML for each and a table has hundreds.
    """
    meaning = {"role": "img", "aria-label": label} if label else {"aria-hidden": "true"}
    draw = heroicon_micro if size <= SMALL else heroicon_outline
    # The package builds the SVG with ElementTree, which escapes every attribute.
    return mark_safe(draw(name, size=size, **meaning))  # noqa: S308
