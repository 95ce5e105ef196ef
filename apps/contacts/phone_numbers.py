"""Phone numbers in one form, so that one person is one contact (decision 0024).

Every receiver reads numbers here: the API, imported files, and the platforms' webhooks.
"""

import re
import unicodedata

import phonenumbers

_NOISE = re.compile(r"[\s().\-/]")
_TRAILING_ZERO = re.compile(r"(\+?[0-9]+)\.0")  # how spreadsheets and pandas write whole numbers
_DIALED = re.compile(r"\+?[0-9*#]{3,20}")
_WHATSAPP = re.compile(r"([0-9]{7,15})(?::[0-9]+)?@(?:s\.whatsapp\.net|c\.us)")
_SCHEME = re.compile(r"(?i)(whatsapp|tel|callto|sms|phone|mobile):\s*(?://)?")
_SIP = re.compile(r"(?i)<?sips?:([^@>;?]*)")
_NAME_ADDRESS = re.compile(r"\A[^<]*<([^>]*)>.*")  # "Ada" <sip:+1…@host>
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_WITHHELD = re.compile(
    r"(an(onymous|onym)?|restricted|unknown|blocked|unavailable|private|withheld|hidden"
    r"|undisclosed|suppressed|no|not(available|provided)|none|null|undefined|nan?)"
    r"(caller|callerid|number|id)?|caller(id)?(unknown|blocked|withheld|unavailable|private)"
)
_SPELLED = ("ANONYMOUS", "RESTRICTED", "BLOCKED", "UNKNOWN", "UNAVAILABLE", "PRIVATE", "WITHHELD")
_WITHHELD_NUMBERS = frozenset(
    f"{prefix}{word.translate(_KEYPAD)}" for word in _SPELLED for prefix in ("", "+", "1", "+1")
)
"""How carriers spell those words on a keypad, as if they were numbers. A few are someone's local
number too, who then has no contact: less harm than one contact for all withheld numbers."""


def normal_number(value: str) -> str:
    """Return the number by which someone is known, or "" where it is no one's.

    E.164 where the number names its country, else its digits. A SIP address that holds no number
    stays as it is. Withheld numbers, in words or spelled on a keypad, are no one's: everyone who
    withholds a number must not become one contact.
    """
    text = _plain(value)
    if sip := _SIP.match(_NAME_ADDRESS.sub(r"\1", text)):
        user = _dialed(sip[1])
        named = bool(sip[1]) and not is_withheld(sip[1]) and user not in _WITHHELD_NUMBERS
        return user if user.startswith("+") and named else text if named else ""
    text = _WHATSAPP.sub(r"whatsapp:\1", text)
    international = text.lower().startswith("whatsapp:")  # its ids lack the plus at times
    number = _dialed(text)
    if international and number and not number.startswith("+"):
        number = _dialed(f"+{number}")
    return number if not is_withheld(number) else ""


def tidy_number(value: str) -> str:
    """Return a number in its normal form, and other text (“anonymous”) as it was sent."""
    return normal_number(value) or _plain(value)


def is_withheld(value: str) -> bool:
    """Return whether this is a number that the caller withheld."""
    text = _plain(value)
    if _NOISE.sub("", text) in _WITHHELD_NUMBERS or not text.strip("+0- "):
        return True
    return bool(_WITHHELD.fullmatch(re.sub(r"[\W_]", "", text).casefold()))


def _plain(value: str) -> str:
    """Return the text without marks that no one sees, with digits and signs of ASCII."""
    shown = (c for c in unicodedata.normalize("NFKC", value) if unicodedata.category(c) != "Cf")
    return "".join(map(_ascii, shown)).strip()


def _ascii(char: str) -> str:
    if char.isascii():
        return char
    if unicodedata.category(char) == "Pd" or char == "\N{MINUS SIGN}":
        return "-"
    digit = unicodedata.decimal(char, None)
    return char if digit is None else str(digit)


def _dialed(text: str) -> str:
    """The number that a text names: in E.164 with its country, else its digits; "" for none."""
    if whole := _TRAILING_ZERO.fullmatch(text):
        text = whole[1]
    if ";phone-context=" not in text.lower():
        text = _SCHEME.sub("", text, count=1)
    compact = _NOISE.sub("", text)
    if compact.startswith("00") and (known := _with_country(f"+{compact[2:]}", valid=True)):
        return known
    if known := _with_country(text):
        return known
    return compact if _DIALED.fullmatch(compact) else ""


def _with_country(text: str, *, valid: bool = False) -> str:
    try:
        parsed = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return ""
    if valid and not phonenumbers.is_valid_number(parsed):
        return ""
    number = phonenumbers.format_number(
        _as_dialed_today(parsed), phonenumbers.PhoneNumberFormat.E164
    )
    return f"{number} ext. {parsed.extension}" if parsed.extension else number


def _as_dialed_today(parsed: phonenumbers.PhoneNumber) -> phonenumbers.PhoneNumber:
    """Return the number by the present plan of its country, where it is valid only there.

    Mexico dropped the 1 before mobile numbers in 2019, Brazil put a 9 before them by 2016;
    WhatsApp and older address books still use the former spelling.
    """
    national = str(parsed.national_number)
    if parsed.country_code == 52 and len(national) == 11 and national.startswith("1"):
        changed = f"+52{national[1:]}"
    elif parsed.country_code == 55 and len(national) == 10:
        changed = f"+55{national[:2]}9{national[2:]}"
    else:
        return parsed
    if phonenumbers.is_valid_number(parsed):
        return parsed
    today = phonenumbers.parse(changed)
    today.extension = parsed.extension
    return today if phonenumbers.is_valid_number(today) else parsed
