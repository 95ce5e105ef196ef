"""Compare phone numbers that people typed into a CRM with a contact's number."""

import re

import phonenumbers
from phonenumbers import PhoneNumberFormat

_NOT_DIGITS = re.compile(r"[^0-9]")


def national_number(number: str) -> str:
    """Return the digits without the country code, for a number in E.164; else its digits."""
    parsed = _parsed(number)
    if parsed is None:
        return _digits(number)
    return phonenumbers.national_significant_number(parsed)


def spellings(number: str) -> list[str]:
    """Return how a number may be written: E.164, with and without country, digits only."""
    parsed = _parsed(number)
    if parsed is None:
        return [number]
    formats = (PhoneNumberFormat.NATIONAL, PhoneNumberFormat.INTERNATIONAL)
    written = [phonenumbers.format_number(parsed, one) for one in formats]
    national = phonenumbers.national_significant_number(parsed)
    dashes = re.sub(r"[() ]+", "-", written[0]).strip("-")
    all_of_them = [number, _digits(number), national, *written, dashes]
    return list(dict.fromkeys(all_of_them))


def is_same_number(stored: str, number: str) -> bool:
    """Return whether a number in the CRM is this one. Without a country code it may be."""
    stored = stored.strip()
    if (parsed := _parsed(stored)) is not None:
        return phonenumbers.format_number(parsed, PhoneNumberFormat.E164) == number
    digits = _digits(stored)
    if not digits:
        return False
    national = national_number(number)
    return digits in (_digits(number), national) or digits.lstrip("0") == national.lstrip("0")


def _parsed(number: str) -> phonenumbers.PhoneNumber | None:
    text = f"+{number[2:]}" if number.startswith("00") else number
    try:
        return phonenumbers.parse(text) if text.startswith("+") else None
    except phonenumbers.NumberParseException:
        return None


def _digits(number: str) -> str:
    return _NOT_DIGITS.sub("", number)
