"""How values look on a page: numbers, money, times, states, bars. The same everywhere.

Formatting lives in apps/core/display.py, as functions that services and exports can call too;
here is only what turns it into markup. Everything that comes from data is escaped.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django import template
from django.forms import BoundField
from django.http import HttpRequest
from django.template.context import RequestContext
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps.core import display
from apps.core.icons import render_icon
from apps.core.textdiff import DiffLine, diff_lines

register = template.Library()

register.filter("number", display.number)
register.filter("compact", display.compact)
register.filter("money", display.money)
register.filter("price", display.price)
register.filter("percent", display.percent)
register.filter("duration", display.duration)
register.filter("timespan", display.timespan)
register.filter("short_id", display.short_id)
register.filter("exact", display.exact)
register.filter("json_pretty", display.json_pretty)


@register.filter
def ago(value: datetime | None) -> str | SafeString:
    """`2m ago`, with the exact time and its zone on hover. js/live.js keeps it true."""
    if value is None:
        return display.NOTHING
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>',
        value.isoformat(),
        display.exact(value),
        display.ago(value),
    )


@register.filter
def clock(value: datetime) -> SafeString:
    """`2:03:22 PM`, with the day and the zone on hover: for a moment ago that stays a moment."""
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(),
        display.exact(value),
        display.clock(value),
    )


@register.filter
def dir_auto(value: object) -> SafeString:
    """Text of unknown language, each in its own direction: an Arabic name in an English line."""
    return format_html('<bdi dir="auto">{}</bdi>', "" if value is None else value)


@register.filter
def is_optional(field: BoundField) -> bool:
    """Return whether a form field may stay empty."""
    return not field.field.required


@register.filter
def dot_class(level: str) -> str:
    """Return the class of a dot for the level of a message."""
    return {"error": "bad", "warning": "warn", "success": "ok"}.get(level, "info")


@register.filter
def verb_class(verb: str) -> str:
    """Return the class of a badge for what happened to a thing: added, removed, changed."""
    return {"added": "ok", "removed": "bad"}.get(verb, "info")


@register.simple_tag
def icon(name: str, size: int = 16, label: str = "") -> SafeString:
    """An icon of the heroicons package, hidden from screen readers unless it has a `label`."""
    return render_icon(str(name), size, str(label))


@register.filter
def state(value: object, label: object = "") -> SafeString:
    """Return a state as a word with its dot: `{{ run.state|state:run.get_state_display }}`."""
    return _dot(display.state_kind(str(value)), label or display.words(str(value)))


@register.filter
def outcome(value: object) -> str | SafeString:
    """An outcome: *Successful* and *Unsuccessful* for yes and no, else the agent's own word."""
    if value in (None, ""):
        return display.NOTHING
    kind, label = display.outcome(value)
    return _dot(kind, label)


@register.filter
def sentiment(value: object) -> str | SafeString:
    """Return a sentiment, colored only where it calls for a look: negative and positive."""
    if value in (None, ""):
        return display.NOTHING
    return _dot(display.sentiment_kind(str(value)), display.words(str(value)))


def _dot(kind: str, label: object) -> SafeString:
    return format_html('<span class="dot {}">{}</span>', kind, label)


# Bars: the content policy allows no inline style, so widths are attributes of an SVG.


@register.simple_tag
def bar(
    value: float | Decimal | None, maximum: float | Decimal | None, kind: str = ""
) -> SafeString:
    """Return a thin bar of `value` within `maximum`. It is decoration: the number is next to it."""
    share = display.share(value, maximum)
    return format_html(
        '<svg class="bar-chart {}" aria-hidden="true"><rect width="{}%" height="100%"/></svg>',
        kind,
        f"{share:.2f}",
    )


@register.inclusion_tag("components/_segments.html")
def segments(
    links: Mapping[str, str] | None = None, *, legend: bool = True, **counts: int
) -> dict[str, object]:
    """Return one bar in segments, in the order given: `{% segments changed=12 failed=1 left=40 %}`.

    `links` leads from a segment's name in the legend to the items behind it.
    """
    return display.segments(counts, links or {}, legend=legend)


@register.inclusion_tag("components/_diff.html")
def text_diff(before: str, after: str) -> dict[str, list[DiffLine]]:
    """Return the difference of two texts, words marked."""
    return {"lines": diff_lines(before or "", after or "")}


# Navigation


@register.simple_tag(takes_context=True)
def nav_link(  # noqa: PLR0917 (each is an attribute of the link)
    context: RequestContext,
    url_name: str,
    label: str,
    icon_name: str,
    section: str = "",
    needs: str = "viewer",
    key: str = "",
    count: str = "",
) -> SafeString:
    """A link of the left bar; nothing where the page does not exist or the role does not reach.

    It is current on its own pages, and where a view puts its `section` as `nav` into the context.
    `count` names the URL of a fragment that shows a number, which is loaded after the page.
    """
    if not (context.get("may") or {}).get(needs):
        return mark_safe("")
    try:
        url = reverse(url_name)
    except NoReverseMatch:
        return mark_safe("")
    request: HttpRequest | None = context.get("request")
    nav = context.get("nav")
    here = nav == section if nav else bool(request and request.path.startswith(url))
    return format_html(
        '<a class="bar-link" href="{}" title="{}"{}{}>{}<span>{}</span>{}{}</a>',
        url,
        label,
        mark_safe(' aria-current="page"') if here else "",
        format_html(' data-key="{}"', key) if key else "",
        render_icon(icon_name, 18),
        label,
        format_html(_COUNT, reverse(count)) if count else "",
        format_html('<kbd aria-hidden="true">{}</kbd>', key) if key else "",
    )


_COUNT = '<span class="count" hx-get="{}" hx-trigger="load" hx-swap="outerHTML"></span>'


@register.inclusion_tag("components/_pagination.html", takes_context=True)
def pagination(
    context: RequestContext,
    previous: str | None,
    following: str | None,
    *,
    rows: Sequence[object] | None = None,
    of: object = "",
    hx: str = "",
    path: str = "",
) -> dict[str, object]:
    """Return links to the pages at two cursors; nothing for a list of one page without numbers.

    With ``rows``, the page also says how many of all (``of``) are shown. ``hx`` is the target
    that htmx swaps, ``path`` the page, where a fragment is drawn under another address.
    """
    shown = ""
    if rows is not None:
        all_of_them = not (previous or following)
        shown = f"Showing all {len(rows):,}" if all_of_them else f"Showing {len(rows):,} of {of}"

    def url(cursor: str | None) -> str:
        if not cursor:
            return ""
        params = context["request"].GET.copy()
        params["cursor"] = cursor
        return f"{path}?{params.urlencode()}"

    return {"shown": shown, "previous_url": url(previous), "next_url": url(following), "hx": hx}


@register.inclusion_tag("components/_sort_th.html", takes_context=True)
def sort_th(
    context: RequestContext,
    field: str,
    label: str,
    *,
    num: bool = False,
    down: bool = False,
    hx: str = "",
    default: str = "",
    css: str = "",
) -> dict[str, object]:
    """A table head that sorts by `field` (`?sort=field`, `?sort=-field`) and says how it does.

    The first click sorts numbers and times from the top (`num`, which also sets the column to the
    right, or `down`), words from A. `default` is the sort of a
    list whose URL names none. `hx` is the target that htmx swaps; the cursor is dropped.
    """
    params = context["request"].GET.copy()
    current = params.get("sort") or default
    params.pop("cursor", None)
    if current == field:
        direction, following = "ascending", f"-{field}"
    elif current == f"-{field}":
        direction, following = "descending", field
    else:
        direction, following = "", f"-{field}" if num or down else field
    params["sort"] = following
    url = f"?{params.urlencode()}"
    names = " ".join(name for name in ("num" if num else "", css) if name)
    return {"url": url, "label": label, "direction": direction, "css": names, "hx": hx}
