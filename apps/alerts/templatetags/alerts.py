"""Values of rules in templates."""

from django import template

from apps.alerts import wording

register = template.Library()


@register.simple_tag
def value_text(kind: str, value: float | None) -> str:
    """Return a value as people read it: `{% value_text rule.kind incident.value %}`."""
    return wording.value_text(kind, value)
