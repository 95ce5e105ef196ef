"""Values out of range, as forms name them."""

import pytest
from django import forms


class Form(forms.Form):
    days = forms.IntegerField(min_value=1, max_value=90)
    name = forms.CharField(max_length=5)
    own = forms.IntegerField(max_value=7, error_messages={"max_value": "A week has 7 days."})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("days", "0", "Must be at least 1."),
        ("days", "91", "Must be at most 90."),
        ("name", "Ada Lovelace", "Use at most 5 characters. You entered 12."),
        ("own", "8", "A week has 7 days."),
    ],
)
def test_values_out_of_range_are_named_in_plain_words(field: str, value: str, message: str) -> None:
    assert Form({field: value}).errors[field] == [message]
