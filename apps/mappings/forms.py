"""Forms of contacts and their fields."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone

from apps.contacts.models import Contact, ContactField
from apps.contacts.values import FieldType, Value, as_text

from .directory.profile import BUILT_IN_LABELS, value_in

_YES_NO = [("", "–"), ("yes", "Yes"), ("no", "No")]
_LONG = 80


class ContactForm(forms.Form):
    """What people know of a contact. Values are read and checked by the service.

    ``seen`` holds the values that the form opened with: only what differs from them is a change.
    """

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    data: QueryDict

    def __init__(
        self,
        custom: Iterable[ContactField],
        contact: Contact | None,
        data: QueryDict | None = None,
    ) -> None:
        custom = list(custom)
        texts = texts_of(contact, custom)
        super().__init__(data, initial={**texts, "seen": json.dumps(texts)})
        self.current = texts
        for name, label in BUILT_IN_LABELS.items():
            self.fields[name] = forms.CharField(
                label=label, required=False, strip=True, widget=_built_in_widget(name)
            )
        for field in custom:
            self.fields[field.name] = forms.CharField(
                label=field.label, required=False, widget=_widget(field, texts[field.name])
            )

    @property
    def seen_texts(self) -> Mapping[str, str]:
        """The values that the form opened with, of a valid form."""
        try:
            found = json.loads(self.cleaned_data["seen"] or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def changed(self) -> dict[str, str]:
        """The fields that were edited, as texts."""
        seen = self.seen_texts
        return {
            name: text
            for name, text in self.cleaned_data.items()
            if name != "seen" and _plain(text) != _plain(seen.get(name, ""))
        }

    def add_conflicts(self) -> bool:
        """Show at each edited field that someone else changed. Return whether there are any.

        Sent once more, the form replaces the values that it shows now.
        """
        seen, edited = self.seen_texts, self.changed
        taken = {
            name: text
            for name, text in self.current.items()
            if name in edited
            and _plain(text) != _plain(seen.get(name, ""))
            and _plain(text) != _plain(edited[name])
        }
        for name, text in taken.items():
            now = f"changed to “{text}”" if text else "emptied"
            message = f"This was {now} while you were editing. Save again to replace it."
            self.add_error(name, message)
        if taken:
            self.data = self.data.copy()
            self.data["seen"] = json.dumps({**seen, **taken})
        return bool(taken)


def texts_of(contact: Contact | None, custom: Iterable[ContactField]) -> dict[str, str]:
    """The values of a contact as a form shows them, by name."""
    texts = dict.fromkeys(BUILT_IN_LABELS, "")
    if contact is not None:
        texts = {name: str(value_in(contact, name) or "") for name in BUILT_IN_LABELS}
    for field in custom:
        value = contact.fields.get(field.name) if contact else None
        texts[field.name] = _text_of(field, value)
    return texts


def _text_of(field: ContactField, value: Value | None) -> str:
    if value is not None and field.type == FieldType.DATETIME:
        local = timezone.localtime(datetime.fromisoformat(str(value)))
        return local.strftime("%Y-%m-%dT%H:%M:%S")
    return as_text(value)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _built_in_widget(name: str) -> forms.Widget:
    kinds = {"phone_number": "tel", "email": "email"}
    attrs = {"autocomplete": "off", "inputmode": kinds.get(name, "text")}
    return forms.TextInput(attrs=attrs)


def _widget(field: ContactField, text: str) -> forms.Widget:
    if field.type == FieldType.BOOLEAN:
        return forms.Select(choices=_YES_NO)
    if field.type == FieldType.CHOICE:
        stray = [(text, text)] if text and text not in field.choices else []
        return forms.Select(choices=[("", "–"), *stray, *((c, c) for c in field.choices)])
    if field.type == FieldType.NUMBER:
        return forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    if field.type == FieldType.DATE:
        return forms.DateInput(attrs={"type": "date"})
    if field.type == FieldType.DATETIME:
        return forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"})
    if len(text) > _LONG or "\n" in text:
        return forms.Textarea(attrs={"rows": 4, "data-grow": True})
    return forms.TextInput(attrs={"autocomplete": "off"})


class FieldForm(forms.Form):
    """A contact field to edit: its label and its choices."""

    label = forms.CharField(max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    choices = forms.CharField(
        label="Choices",
        required=False,
        help_text="One per line.",
        widget=forms.Textarea(attrs={"rows": 5}),
    )

    def clean_choices(self) -> list[str]:
        lines: str = self.cleaned_data["choices"]
        return [line.strip() for line in lines.splitlines() if line.strip()]

    @classmethod
    def of(cls, field: ContactField) -> "FieldForm":
        """Return the form filled in with a field."""
        return cls(initial={"label": field.label, "choices": "\n".join(field.choices)})


class NewFieldForm(FieldForm):
    """A new contact field."""

    name = forms.CharField(
        max_length=60,
        help_text="Lowercase letters, digits, and underscores, such as plan or renewal_date. "
        "You can’t change it later.",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autofocus": True, "spellcheck": "false"}
        ),
    )
    type = forms.ChoiceField(choices=FieldType.choices)
    field_order = ["name", "label", "type", "choices"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["label"].required = False
        self.fields["label"].help_text = "What people read. Default: the name in words."
        self.fields["choices"].help_text = "For the type Choice, one per line."


class UploadForm(forms.Form):
    """A CSV file of contacts."""

    file = forms.FileField(
        label="CSV file",
        help_text="The first line names the columns. Up to 20 MB and 200,000 rows.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.tsv,.txt,text/csv"}),
        error_messages={
            "required": "Select a CSV file.",
            "empty": "The file is empty. The first line must name the columns.",
        },
    )
