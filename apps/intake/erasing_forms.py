"""The form by which an erasure is confirmed."""

from typing import Any

from django import forms
from django.http import QueryDict

from apps.core.display import number

WORD = "erase"


class EraseForm(forms.Form):
    """The word typed, for as many conversations as the person was shown."""

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
            raise forms.ValidationError(f"This must be {WORD}, not “{word}”.")
        return word

    def clean(self) -> dict[str, Any]:
        """More or fewer match by now: what is shown below is what would go."""
        cleaned = super().clean() or {}
        asked = cleaned.get("shown")
        if asked is not None and asked != self._shown:
            self.data = {**self.data, "shown": str(self._shown)}
            raise forms.ValidationError(
                f"There were {number(asked)} when this was opened, now there are "
                f"{number(self._shown)}. Look at the figures again and confirm."
            )
        return cleaned
