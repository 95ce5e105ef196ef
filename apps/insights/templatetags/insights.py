"""Charts: drawn on the server as SVG, with attributes and no styles, as the page's CSP wants it."""

from collections.abc import Sequence
from decimal import Decimal

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.display import money, share
from apps.insights.costs import CostLine

register = template.Library()

WIDTH, GAP, HEIGHT = 10, 2, 100


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
