"""Values of rules in templates."""

from django import template

from apps.alerts import wording
from apps.alerts.models import AlertRule

register = template.Library()


@register.simple_tag
def value_text(rule: AlertRule, value: float | None) -> str:
    """Return a value as people read it: `{% value_text rule incident.value %}`."""
    return wording.value_text(rule, value)
