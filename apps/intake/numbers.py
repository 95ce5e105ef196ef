"""Phone numbers in one form, so that one person is one contact."""

import re

import phonenumbers

_NOISE = re.compile(r"[\s().\-/]")


def normal_number(number: str) -> str:
    """E.164 where the number says its country (+…); else without blanks and brackets."""
    if not number:
        return ""
    if number.startswith("+"):
        try:
            parsed = phonenumbers.parse(number)
        except phonenumbers.NumberParseException:
            return _NOISE.sub("", number)
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return _NOISE.sub("", number) or number
