"""What form fields say about a value out of range, in the words of this product's forms."""

from django import forms

_MESSAGES = {
    "min_value": "Must be at least %(limit_value)s.",
    "max_value": "Must be at most %(limit_value)s.",
    "max_length": "Use at most %(limit_value)d characters. You entered %(show_value)d.",
}


def use_messages() -> None:
    """Set the messages of all form fields that have none of their own, the admin's included."""
    forms.Field.default_error_messages |= _MESSAGES
