"""Cells of the history pages: one value of one conversation, as a person reads it."""

from datetime import timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from apps.conversations.filters import Field, ValueKind, source_of
from apps.conversations.filters.rows import new_row_url
from apps.conversations.history_list import head_of, is_figure, value_of
from apps.conversations.models import EXCERPT, AnalysisState, Conversation, Reason
from apps.core import display
from apps.core.templatetags.debrief import ago, outcome, sentiment, state
from apps.llm.errors import ErrorCode

register = template.Library()

register.filter("head_of", head_of)
register.filter("is_figure", is_figure)

_SILENT = timedelta(hours=1)
"""From when on it is worth a word that nothing more was heard of an open conversation."""
_SUMMARIES = {"call_summary", "chat_summary"}
_OUTCOMES = {"call_successful", "chat_successful"}
_FITTING = {"started_at", "contact", "user_sentiment", "status", "language", *_OUTCOMES}


@register.simple_tag
def filter_row_url(channel: str, rule: str, prefix: str) -> str:
    """Return the URL that draws a new row of conversations/_filter_rows.html."""
    return new_row_url(source_of(channel, rule), prefix)


@register.filter
def cell_class(field: Field) -> str:
    """Return the classes of a column's cells (table.css)."""
    names = {
        "started_at": "fit card-time",
        "duration_ms": "num fit",
        "agent": "fit card-title",
        "analysis_cost": "num fit card-off",
    }
    if field.name in names:
        return names[field.name]
    if field.name in _SUMMARIES:
        return "text card-wide"
    if is_figure(field):
        return "num fit"
    return "fit" if field.name in _FITTING else "clip"


@register.filter
def head_class(field: Field) -> str:
    """Return the classes of a column's head."""
    return "num" if is_figure(field) else "text" if field.name in _SUMMARIES else ""


@register.simple_tag
def cell(conversation: Conversation, field: Field) -> str | SafeString:
    """Return one cell. Everything that comes from data is escaped."""
    if field.name in _SUMMARIES:
        return _summary(conversation)
    value = value_of(conversation, field)
    if field.name in _OUTCOMES:
        return outcome(value) if value is not None else display.NOTHING
    if field.name == "user_sentiment":
        return sentiment(value)
    if field.name == "agent":
        return format_html(
            '<bdi dir="auto">{}</bdi> <span class="faint">{}</span>',
            value,
            conversation.agent_version.label,
        )
    if field.name == "analysis_config":
        return value.removeprefix("sha256:")[:7] or display.NOTHING
    if field.name == "analysis_reason" and value:
        return _reason(conversation)
    return _plain(conversation, field, value)


def _plain(conversation: Conversation, field: Field, value: Any) -> str | SafeString:
    if field.name == "duration_ms":
        return display.duration(value)
    if field.name == "analysis_cost":
        return display.NOTHING if value is None else display.price(value)
    if field.name in {"status", "analysis_state"}:
        dot = state(value, dict(field.choices).get(value, ""))
        return _with_silence(conversation, dot) if field.name == "status" else dot
    if field.kind is ValueKind.TIME:
        shown = conversation.sort_at if field.name == "started_at" else value
        return ago(shown)
    if field.choices and isinstance(value, str):
        return _cut(dict(field.choices).get(value, value)) or display.NOTHING
    return json_cell(value)


def _with_silence(conversation: Conversation, shown: SafeString) -> SafeString:
    """Return the state of an open conversation, with how long nothing has been heard of it."""
    since = conversation.silent_since
    if since is None or timezone.now() - since < _SILENT:
        return shown
    return format_html('{} <span class="small muted">silent since {}</span>', shown, ago(since))


def json_cell(value: Any) -> str | SafeString:
    """Return a value of any JSON type, on one line."""
    if value in (None, "", []):
        return display.NOTHING
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, int | float):
        return display.number(value)
    if isinstance(value, list):
        tags = [(_cut(display.one_line(item)),) for item in value[:MAX_TAGS]]
        if len(value) > MAX_TAGS:
            tags.append((f"+{len(value) - MAX_TAGS:,}",))
        return format_html('<span class="tags">{}</span>', format_html_join(" ", _TAG, tags))
    return format_html('<bdi dir="auto">{}</bdi>', _cut(display.one_line(value)))


def _cut(text: str) -> str:
    return Truncator(text[: EXCERPT + 1]).chars(EXCERPT)


#: Items of a list in one cell; the rest is counted.
MAX_TAGS = 20


_TAG = '<span class="tag"><bdi dir="auto">{}</bdi></span>'


@register.filter
def excerpt(conversation: Conversation) -> str:
    """Return the beginning of a summary, as the list read it."""
    text: str = getattr(conversation, "excerpt", "")
    return Truncator(text).chars(EXCERPT)


def _summary(conversation: Conversation) -> str | SafeString:
    """Return the summary; where there is none, a word on why."""
    if text := excerpt(conversation):
        return text
    if conversation.analysis_state == AnalysisState.SUCCEEDED:
        return format_html('<span class="faint">{}</span>', display.NOTHING)
    if conversation.analysis_reason == Reason.WAITING_FOR_PROVIDER:
        return format_html('<span class="faint">{}</span>', "Waiting for the provider")
    if conversation.analysis_reason == Reason.BUDGET:
        return format_html('<span class="faint">{}</span>', "Waiting for a spending cap")
    if conversation.analysis_state == AnalysisState.PENDING:
        return format_html('<span class="faint">{}</span>', "Waiting for its analysis")
    if conversation.analysis_state == AnalysisState.RUNNING:
        return format_html('<span class="faint">{}</span>', "Analyzing…")
    return format_html('<span class="faint">{}</span>', _reason(conversation))


def _reason(conversation: Conversation) -> str:
    """Return why there is no result, in a few words."""
    reason = conversation.analysis_reason
    if reason in ErrorCode.values:
        return f"Analysis failed: {_inside(str(ErrorCode(reason).label))}"
    if conversation.analysis_state == AnalysisState.FAILED:
        return "Analysis failed"
    if reason in Reason.values:
        return f"Not analyzed: {Reason(reason).label}"
    if not conversation.has_ended:
        return f"Not analyzed: {Reason.NOT_ENDED.label}"
    return "Not analyzed yet"


def _inside(sentence: str) -> str:
    """Return a label as it continues after a colon."""
    return sentence[:1].lower() + sentence[1:]
