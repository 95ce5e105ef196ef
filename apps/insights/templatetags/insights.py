"""Numbers of insights in words, and the chart of costs by day."""

from collections.abc import Sequence
from decimal import Decimal

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.display import NOTHING, money, percent, share
from apps.insights.costs import CostLine
from apps.insights.drawings import average_words, interval_words, rate_words, value_words
from apps.insights.field_stats import FieldStats, Group, SharePoint
from apps.insights.fields import InsightField
from apps.insights.weekly import title_of

register = template.Library()

WIDTH, GAP, HEIGHT = 10, 2, 100

register.filter("interval", interval_words)
register.filter("conversation_title", title_of)


@register.simple_tag
def value(field: InsightField, number: float | None) -> str:
    """Return a number of a field with as many digits as are meaningful."""
    return NOTHING if number is None else value_words(field, number)


@register.simple_tag
def cost(amount: Decimal, unpriced: int, results: int) -> str:
    """Return the cost of results; a dash where no price is known."""
    return NOTHING if results and unpriced == results else money(amount)


@register.filter
def counts(point: SharePoint) -> list[tuple[int, str]]:
    """Return the counts of a bucket with their addresses."""
    return list(zip(point.counts, point.urls, strict=True))


@register.simple_tag
def group_value(stats: FieldStats, group: Group) -> str:
    """Return what a group of the breakdown has: a rate, a mean, or its most frequent value."""
    if group.rate is not None:
        return rate_words(group.rate).partition(",")[0]
    if group.average is not None:
        return average_words(stats.field, group.average).partition(",")[0]
    shares = getattr(stats, "shares", ())
    most = max(range(len(group.counts)), key=lambda n: group.counts[n], default=None)
    if most is None or not group.counts[most]:
        return NOTHING
    label = shares[most].label[:24]
    return f"{label} {percent(group.counts[most], group.n)}"


@register.simple_tag
def day_chart(days: Sequence[CostLine], highest: Decimal) -> SafeString:
    """Return a bar a day. The numbers are in the table below it, so for a reader of the screen the
    chart is one picture with a caption."""
    total = len(days) * WIDTH
    bars = format_html_join("", '<rect class="day" x="{}" y="{}" width="{}" height="{}">'
        "<title>{}: {}, {} requests</title></rect>", (
            (n * WIDTH + GAP / 2, f"{HEIGHT - tall:.2f}", WIDTH - GAP, f"{tall:.2f}",
             line.label, line.sums.said, f"{line.sums.rows:,}")
            for n, line in enumerate(days)
            for tall in [share(line.sums.cost, highest) if line.sums.rows else 0]
        ))  # fmt: skip
    said = f"Cost per day, from {days[0].label} to {days[-1].label}; the highest {money(highest)}."
    return format_html(
        '<figure class="day-chart"><p class="faint num">{}</p>'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
        '<figcaption class="row spread faint"><span>{}</span><span>{}</span></figcaption></figure>',
        money(highest), total, HEIGHT, said, bars, days[0].label, days[-1].label,
    )  # fmt: skip
