"""What forms say about a value out of range, in the words of this product."""

from django.core import validators


def use_messages() -> None:
    """Set the messages of all validators that are given none of their own."""
    validators.MinValueValidator.message = "Must be at least %(limit_value)s."
    validators.MaxValueValidator.message = "Must be at most %(limit_value)s."
    validators.MaxLengthValidator.message = (
        "Use at most %(limit_value)d characters. You entered %(show_value)d."
    )
