"""Load templates without their layout: written for people, sent without the indentation.

Only spaces that can't show are removed: inside tags, around comments, and at the edges of block
elements and blocks. Any other run of spaces becomes one. Preformatted text stays.
"""

import re

from django.template import Origin
from django.template.loaders.filesystem import Loader as FilesystemLoader

_KEPT = re.compile(r"(<pre\b.*?</pre>|<textarea\b.*?</textarea>)", re.DOTALL)
_COMMENT = re.compile(r"{% comment %}.*?{% endcomment %}\s*", re.DOTALL)
_LOAD = re.compile(r"({% (?:load|extends) [^%]*%})\s+")
# Possessive, and no alternative matches what another one may: a search never goes back.
_TEMPLATE = r"{%(?:[^%]|%(?!}))*+%}|{{[^}]*+}}"
_VALUE = rf'"(?:{_TEMPLATE}|[^"{{]|{{(?![%{{]))*+"|\'(?:{_TEMPLATE}|[^\'{{]|{{(?![%{{]))*+\''
_INSIDE = rf"(?:{_TEMPLATE}|{_VALUE}|[^<>\"'{{]|{{(?![%{{]))*+"
_TAG = re.compile(rf"<[a-z]{_INSIDE}>")
_BLOCKS = (
    "html|head|body|title|div|p|h[1-6]|ul|ol|li|dl|dt|dd|table|thead|tbody|tr|th|td|form|fieldset"
    "|legend|section|article|aside|nav|main|header|footer|details|summary|option|optgroup|select"
    "|button|dialog|noscript"
)
_OPENED = re.compile(rf"(<(?:{_BLOCKS})(?:\s{_INSIDE})?>)\s+")
_CLOSED = re.compile(rf"\s+(</(?:{_BLOCKS})>)")
_BLOCK_TAG = re.compile(r"({% block \w+ %})\s+|\s+({% endblock %})")


class Loader(FilesystemLoader):
    """Django's loader of template folders; the templates come compact."""

    def get_contents(self, origin: Origin) -> str:
        """Return the source of a template without its layout."""
        return compact(super().get_contents(origin))


def compact(source: str) -> str:
    """Return `source` without the spaces that can't show."""
    parts = _KEPT.split(source)
    return "".join(part if index % 2 else _squeezed(part) for index, part in enumerate(parts))


def _squeezed(text: str) -> str:
    text = _LOAD.sub(r"\1", _COMMENT.sub("", text))
    text = _TAG.sub(lambda tag: f"{' '.join(tag[0][:-1].split())}>", text)
    text = _OPENED.sub(r"\1", text)
    text = _CLOSED.sub(r"\1", text)
    text = _BLOCK_TAG.sub(lambda tag: tag[1] or tag[2], text)
    return re.sub(r"\s+", " ", text)
