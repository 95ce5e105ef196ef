"""A form field for an amount of US dollars."""

import re
from decimal import Decimal
from typing import Any

from django import forms

_AMOUNT = re.compile(r"[0-9]{1,7}(\.[0-9]{1,4})?")
_MOST = 1_000_000


class DollarsField(forms.CharField):
    """An amount above 0 as people type it: `50`, `$1,200.50`. Empty is None, no limit."""

    def __init__(self, *, label: str, help_text: str = "") -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "placeholder": "no limit"})
        super().__init__(
            required=False, label=label, max_length=20, widget=widget, help_text=help_text
        )

    def clean(self, value: Any) -> Decimal | None:
        """Return the amount. Raises ValidationError with the rule."""
        text = super().clean(value).strip().removeprefix("$").replace(",", "")
        if not text:
            return None
        if not _AMOUNT.fullmatch(text) or not 0 < Decimal(text) <= _MOST:
            raise forms.ValidationError(
                f"The {str(self.label).partition(' in ')[0].lower()} must be more than $0 and at "
                "most $1,000,000, with up to 4 decimal places."
            )
        return Decimal(text)
