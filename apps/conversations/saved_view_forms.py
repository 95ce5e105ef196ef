"""The form of a saved view."""

from typing import Any

from django import forms

from .models import SavedView


class SavedViewForm(forms.Form):
    """Name, sharing, and whether a view takes the filters of the page that is open.

    ``query`` is the page's own; ``revision`` is the one of the view that the form was drawn for.
    """

    name = forms.CharField(
        max_length=60,
        error_messages={"required": "Enter a name."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    shared = forms.BooleanField(
        required=False,
        label="Share with all members",
        help_text="Only you and admins can change it.",
    )
    replace = forms.BooleanField(
        required=False,
        label="Use the page’s current filters, columns, and sort",
    )
    query = forms.CharField(required=False, widget=forms.HiddenInput, strip=False)
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any, *, view: SavedView | None, query: str, **options: Any) -> None:
        initial: dict[str, Any] = {"query": query}
        if view is not None:
            initial |= {"name": view.name, "shared": view.shared, "revision": view.revision}
        super().__init__(data, initial=initial, **options)
        if view is None or view.query == query:
            del self.fields["replace"]

    def at_revision(self, revision: int) -> None:
        """Let the form be sent again, after someone else has changed the view."""
        self.data = {name: self.data[name] for name in self.data} | {"revision": str(revision)}
