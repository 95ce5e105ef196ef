"""Templates are sent without their layout, and nothing that shows is lost."""

import re

import pytest
from django.conf import settings

from apps.core.compact import compact

TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html"))


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        ('<p\n  class="a"\n  {% if a > 1 %}hidden{% endif %}\n>\n  b\n</p>\n',
         '<p class="a" {% if a > 1 %}hidden{% endif %}>b</p> '),
        ("a\n  <b>c</b>\n  d", "a <b>c</b> d"),
        ("<b\n>a</b><i\n>b</i>", "<b>a</b><i>b</i>"),
        ("<pre>\n a\n  b</pre>\n  c", "<pre>\n a\n  b</pre> c"),
        ("<textarea>\n a\n</textarea>", "<textarea>\n a\n</textarea>"),
        ("{% load a %}\n{% comment %}b{% endcomment %}\n<p>c</p>", "{% load a %}<p>c</p>"),
        ("{% block a %}\n  b\n{% endblock %}", "{% block a %}b{% endblock %}"),
        ('<a title="a > b">c</a>', '<a title="a > b">c</a>'),
    ],
)  # fmt: skip
def test_compact(source: str, sent: str) -> None:
    assert compact(source) == sent


def test_lines_of_templates_are_short() -> None:
    lines = [
        (path, number, len(line))
        for path in TEMPLATES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.strip()
    ]
    assert not [where for *where, size in lines if size > 120]
    assert sum(size for *_, size in lines) / len(lines) <= 60


def test_breadcrumbs_do_not_end_in_a_slash() -> None:
    crumbs = re.compile(r'<p\s+class="crumb"\s*>.*?</p>', re.DOTALL)
    found = {path: crumbs.findall(path.read_text()) for path in TEMPLATES}
    assert sum(map(len, found.values())) > 90
    for path, each in found.items():
        assert not [crumb for crumb in each if re.search(r"/\s*</p>$", crumb)], path
