"""The template tags: what they draw, and that nothing from data becomes markup."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from django.contrib.messages import constants
from django.contrib.messages.storage.base import Message
from django.forms import BooleanField, CharField, ChoiceField, Form, IntegerField, RadioSelect
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import RequestFactory
from heroicons import IconDoesNotExist

EVIL = '"><script>alert(1)</script>'


def draw(source: str, context: Mapping[str, object] | None = None, *, path: str = "/") -> str:
    values = {"request": RequestFactory().get(path), **(context or {})}
    return Template("{% load debrief %}" + source).render(Context(values))


class TestEscaping:
    @pytest.mark.parametrize(
        "source",
        [
            "{{ x|number }}",
            "{{ x|short_id }}",
            "{{ x|json_pretty }}",
            "{{ x|dir_auto }}",
            "{{ x|state }}",
            "{{ 'done'|state:x }}",
            "{{ x|outcome }}",
            "{{ x|sentiment }}",
            "{% icon 'phone' 16 x %}",
            "{% bar 1 2 x %}",
            "{% text_diff x '' %}",
            "{% text_diff 'alert(1) <b>' x %}",
            "{% sort_th x x css=x hx=x %}",
            "{% segments links=links failed=1 %}",
            "{% include 'components/_copy.html' with value=x label=x %}",
            "{% include 'components/_empty.html' with title=x text=x href=x action=x %}",
            "{% include 'components/_callout.html' with title=x text=x href=x action=x %}",
            "{% include 'components/_pagination.html' with shown=x next_url=x hx=x %}",
            "{% include 'components/_stat.html' with value=x label=x of=x note=x %}",
            "{% include 'components/_progress.html' with value=1 maximum=2 label=x note=x %}",
        ],
    )
    def test_data_never_becomes_markup(self, source: str) -> None:
        page = draw(source, {"x": EVIL, "links": {"failed": EVIL}})
        assert "<script" not in page
        assert '="">' not in page

    def test_the_content_policy_holds(self) -> None:
        """No inline style and no inline handler in anything that is drawn here."""
        page = draw(
            "{% bar 1 2 %}{% segments changed=1 left=2 %}{% icon 'phone' %}"
            "{% text_diff 'a' 'b' %}{% sort_th 'a' 'A' %}"
        )
        assert "style=" not in page
        assert " on" not in page.replace(" one", "")


class TestIcon:
    def test_is_hidden_unless_it_has_a_label(self) -> None:
        assert 'aria-hidden="true"' in draw("{% icon 'phone' %}")
        labelled = draw("{% icon 'phone' 20 'Call' %}")
        assert 'role="img"' in labelled
        assert 'aria-label="Call"' in labelled
        assert 'width="20"' in labelled

    def test_unknown_name_is_a_mistake_in_the_template(self) -> None:
        with pytest.raises(IconDoesNotExist):
            draw("{% icon 'no-such-icon' %}")


class TestAgo:
    @pytest.mark.usefixtures("_in_utc")
    def test_has_the_exact_time_on_hover(self) -> None:
        at = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
        assert draw("{{ at|ago }}", {"at": at}) == (
            '<time datetime="2020-02-03T04:05:06+00:00" title="Mon, Feb 3, 2020, 4:05:06 AM UTC" '
            "data-ago>Feb 3, 2020</time>"
        )

    def test_never(self) -> None:
        assert draw("{{ at|ago }}", {"at": None}) == "–"


@pytest.mark.parametrize(
    ("source", "kind", "word"),
    [
        ("{{ 'completed'|state }}", "ok", "Completed"),
        ("{{ 'running'|state:'At work' }}", "info live", "At work"),
        ("{{ 'not_connected'|state }}", "mute", "Not connected"),
        ("{{ 'never_seen'|state }}", "", "Never seen"),
        ("{{ 'Negative'|sentiment }}", "bad", "Negative"),
        ("{{ 'Neutral'|sentiment }}", "", "Neutral"),
        ("{{ False|outcome }}", "bad", "Unsuccessful"),
    ],
)
def test_marks_have_a_word_beside_the_colour(source: str, kind: str, word: str) -> None:
    assert draw(source) == f'<span class="dot {kind}">{word}</span>'


class TestSortHead:
    def test_first_click_on_figures_sorts_from_the_top(self) -> None:
        page = draw("{% sort_th 'cost' 'Cost' num=True %}", path="/?agent=a&cursor=zz")
        assert 'href="?agent=a&amp;sort=-cost"' in page
        assert "aria-sort" not in page
        assert 'class="num"' in page

    def test_a_second_click_turns_it_round(self) -> None:
        page = draw("{% sort_th 'cost' 'Cost' num=True %}", path="/?sort=-cost")
        assert 'href="?sort=cost"' in page
        assert 'aria-sort="descending"' in page

    def test_the_default_sort_is_shown_as_such(self) -> None:
        page = draw("{% sort_th 'at' 'Time' down=True default='-at' hx='#list' %}")
        assert 'aria-sort="descending"' in page
        assert 'hx-target="#list"' in page
        assert "num" not in page

    def test_several_values_of_a_filter_are_kept(self) -> None:
        page = draw("{% sort_th 'at' 'Time' %}", path="/?topic=a&topic=b")
        assert "?topic=a&amp;topic=b&amp;sort=at" in page


class TestNavLink:
    SOURCE = "{% nav_link 'admin:index' 'Admin' 'key' section='admin' needs='admin' key='g x' %}"
    MAY: Mapping[str, object] = {"may": {"admin": True}}

    def test_is_silent_where_the_role_does_not_reach(self) -> None:
        assert draw(self.SOURCE, {"may": {"admin": False}}) == ""
        assert draw(self.SOURCE) == ""

    def test_is_silent_where_there_is_no_such_page(self) -> None:
        assert draw("{% nav_link 'no:page' 'X' 'key' needs='admin' %}", self.MAY) == ""

    def test_link(self) -> None:
        page = draw(self.SOURCE, self.MAY)
        assert 'href="/admin/"' in page
        assert 'data-key="g x"' in page
        assert "aria-current" not in page

    def test_is_current_on_its_pages_and_where_the_view_says_so(self) -> None:
        assert 'aria-current="page"' in draw(self.SOURCE, self.MAY, path="/admin/x/")
        assert 'aria-current="page"' in draw(self.SOURCE, {**self.MAY, "nav": "admin"})
        assert "aria-current" not in draw(
            self.SOURCE, {**self.MAY, "nav": "calls"}, path="/admin/x/"
        )


def test_diff_says_when_there_is_none() -> None:
    assert "No changes." in draw("{% text_diff 'a' 'a' %}")


def test_field_names_its_help_and_its_error() -> None:
    class Numbers(Form):
        least = IntegerField(help_text="In seconds.", max_value=5)
        on = BooleanField(required=False)
        how = ChoiceField(choices=[("a", "A")], widget=RadioSelect)
        secret = CharField(required=False, widget=CharField.hidden_widget)

    page = draw(
        "{% for field in form %}{% include 'components/_field.html' %}{% endfor %}",
        {"form": Numbers({"least": "9", "how": "a"})},
    )
    assert 'aria-describedby="id_least_helptext id_least_error"' in page
    assert 'id="id_least_error"' in page
    assert 'id="id_least_helptext"' in page
    assert page.index('type="checkbox"') < page.index('for="id_on"')
    assert "Secret" not in page


@pytest.mark.parametrize("template", ["403.html", "403_csrf.html", "404.html", "500.html"])
def test_error_pages_need_nothing_and_lead_out(template: str) -> None:
    page = render_to_string(template)
    assert 'href="/"' in page
    assert "<h1>" in page


def test_refusal_says_why() -> None:
    page = render_to_string("403.html", {"exception": f"Yours is Viewer {EVIL}"})
    assert "Yours is Viewer" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    ("level", "kind"),
    [(constants.SUCCESS, "ok"), (constants.ERROR, "bad"), (constants.INFO, "info")],
)
def test_messages_are_toasts(level: int, kind: str) -> None:
    page = render_to_string("base.html", {"messages": [Message(level, "Saved <b>")]})
    assert f'<span class="dot {kind}">Saved &lt;b&gt;</span>' in page


def test_markup_of_an_empty_state_is_drawn_and_data_in_it_is_not() -> None:
    source = (
        "{% load components %}{% empty_state 'None' %} <code>{{ x }}</code> {% endempty_state %}"
    )
    page = draw(source, {"x": EVIL})
    assert "<code>&quot;" in page
    assert "<script>" not in page
    empty = draw("{% load components %}{% empty_state 'None' %} {% endempty_state %}")
    assert "<p>" not in empty
