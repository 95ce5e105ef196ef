"""The form that confirms an erasure."""

from typing import Any

from django import forms
from django.http import QueryDict

from apps.core.display import number

WORD = "erase"


class EraseForm(forms.Form):
    """The confirmation word, for as many conversations as the page showed."""

    shown = forms.IntegerField(widget=forms.HiddenInput)
    word = forms.CharField(
        label=f"Type “{WORD}” to confirm",
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )

    def __init__(self, data: QueryDict | None, *, shown: int) -> None:
        super().__init__(data, initial={"shown": shown})
        self._shown = shown

    def clean_word(self) -> str:
        word: str = self.cleaned_data["word"]
        if word.strip().lower() != WORD:
            raise forms.ValidationError(f"Type “{WORD}” exactly to confirm.")
        return word

    def clean(self) -> dict[str, Any]:
        """Reject a confirmation of another number than match now."""
        cleaned = super().clean() or {}
        asked = cleaned.get("shown")
        if asked is not None and asked != self._shown:
            self.data = {**self.data, "shown": str(self._shown)}
            raise forms.ValidationError(
                f"The number of matching conversations changed from {number(asked)} to "
                f"{number(self._shown)}. Review and confirm again."
            )
        return cleaned
