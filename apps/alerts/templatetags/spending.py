"""The notice of a spending cap on every page."""

from django import template

from apps.alerts.spending import notice

register = template.Library()


@register.inclusion_tag("alerts/_spending_banner.html")
def spending_banner(*, oob: bool = False) -> dict[str, object]:
    """Return the notice, or a place for one. It asks the cache, and not the database."""
    return {"spending": notice(), "oob": oob}
