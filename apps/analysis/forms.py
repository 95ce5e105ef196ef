"""What pages of this room send."""

from django import forms


class RerunForm(forms.Form):
    """What the rerun dialog showed, so that nobody pays for another config than they saw."""

    config = forms.RegexField(r"^[0-9a-f]{64}$", required=False, widget=forms.HiddenInput)
