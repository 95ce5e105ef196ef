"""The little markup of descriptions in the OpenAPI document, as HTML."""

import re

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

_CODE = re.compile(r"`([^`]+)`")
_EMPHASIS = re.compile(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])")


@register.filter
def marked(text: object) -> SafeString:
    """Words in backquotes as code, words in stars as emphasis; all else escaped."""
    html = _CODE.sub(r"<code>\1</code>", escape(str(text)))
    return mark_safe(_EMPHASIS.sub(r"<em>\1</em>", html))  # noqa: S308 (escaped above)
