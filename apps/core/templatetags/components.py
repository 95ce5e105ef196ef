"""Components with content: `{% callout "warn" %}…{% endcallout %}`.

Their markup is in templates/components/. A component that needs no content between its tags is a
template there, and is included.
"""

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_block_tag
def callout(
    content: SafeString, kind: str = "", title: str = "", href: str = "", action: str = ""
) -> SafeString:
    """Return a notice with an icon; `kind` is warn, bad, ok, or nothing."""
    context = {"kind": kind, "title": title, "text": content, "href": href, "action": action}
    return render_to_string("components/_callout.html", context)


@register.simple_block_tag
def empty_state(
    content: SafeString,
    title: str,
    icon: str = "",
    *,
    href: str = "",
    action: str = "",
    small: bool = False,
) -> SafeString:
    """Return what a list shows while it is empty: a title, one message, and one button."""
    context = {
        "title": title,
        "text": content,
        "icon_name": icon,
        "href": href,
        "action": action,
        "small": small,
    }
    return render_to_string("components/_empty.html", context)


@register.simple_block_tag
def field(
    content: SafeString,
    label: str,
    kind: str = "",
    *,
    control: str = "",
    help: str = "",  # noqa: A002 (as Django's own fields call it)
    optional: bool = False,
    title: str = "",
) -> SafeString:
    """Return a label with its control, for controls that no Django form draws.

    `control` is the id of the control; without it, the label surrounds the control. `kind` is a
    class of `.field`: inline, amount, check (a box before its label), or check switch.
    """
    context = {
        "content": content,
        "label": label,
        "kind": kind,
        "control": control,
        "help": help,
        "optional": optional,
        "title": title,
        "is_check": kind.startswith("check"),
    }
    return render_to_string("components/_labeled.html", context)


@register.simple_block_tag
def filter_form(
    content: SafeString,
    base: str,
    target: str,
    label: str,
    *,
    trigger: str = "change",
    select: str = "",
) -> SafeString:
    """Return the form above a list, whose changes load the list again.

    `base` is the list's address, `target` its element, `label` the form's name for screen readers.
    `select` is the part of the response to take, where it is more than the list.
    """
    context = {
        "content": content,
        "base": base,
        "target": target,
        "label": label,
        "trigger": trigger,
        "select": select,
    }
    return render_to_string("components/_filter_form.html", context)
