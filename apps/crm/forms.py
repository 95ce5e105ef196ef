"""Forms of connections, and the filter of pushes."""

from collections.abc import Mapping
from typing import Any

from django import forms

from apps.contacts.models import Contact
from apps.contacts.values import ValueSpec

from .connectors.base import Connector, RemoteField, Setting
from .connectors.registry import CONNECTORS
from .mapping import as_read, fits
from .models import CrmConnection, PushState
from .services import NAME_LENGTH, Wanted
from .values import labels, specs

_MAP = "field_map."
_PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class ConnectionForm(forms.Form):
    """The settings of a connection of one kind, its field map, and its switches."""

    name = forms.CharField(
        label="Name", max_length=NAME_LENGTH, widget=forms.TextInput(attrs=_PLAIN)
    )

    def __init__(self, kind: str, connection: CrmConnection | None, data: Any = None) -> None:
        initial = _initial(connection) if connection else {"name": CONNECTORS[kind].label}
        super().__init__(data, initial=initial)
        connector = CONNECTORS[kind]
        self.settings = [one.name for one in connector.settings]
        for one in connector.settings:
            self.fields[one.name] = _setting(one, is_new=connection is None)
        self.mapped: list[str] = []
        if connection is not None:
            self._add_map(connector, connection)
            self._add_switches(connector)

    def _add_map(self, connector: type[Connector], connection: CrmConnection) -> None:
        remote = as_read(connection.remote_fields or [])
        kinds = specs()
        for name, label in labels().items():
            field: forms.Field = forms.CharField(
                label=label, required=False, max_length=200, widget=forms.TextInput(attrs=_PLAIN)
            )
            if connector.has_field_list:
                choices = _targets(kinds[name], remote, connection.field_map.get(name, ""))
                field = forms.ChoiceField(label=label, required=False, choices=choices)
            self.fields[_MAP + name] = field
            self.mapped.append(_MAP + name)

    def _add_switches(self, connector: type[Connector]) -> None:
        if connector.can_create:
            self.fields["create_missing"] = forms.BooleanField(
                label=f"Create contacts that {connector.label} doesn’t have", required=False
            )
        self.fields["log_conversations"] = forms.BooleanField(
            label="Log conversations as activities", required=False,
            help_text="With summary, outcome, duration, and a link.",
        )  # fmt: skip
        self.fields["approval"] = forms.BooleanField(
            label="Hold field changes for approval", required=False
        )

    @property
    def setting_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.settings]

    @property
    def map_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.mapped]

    @property
    def switch_fields(self) -> list[forms.BoundField]:
        names = ("create_missing", "log_conversations", "approval")
        return [self[name] for name in names if name in self.fields]

    def wanted(self, site_url: str) -> Wanted:
        """Return the posted settings."""
        data = self.cleaned_data
        return Wanted(
            name=data["name"],
            settings={name: data[name] for name in self.settings},
            field_map={n.removeprefix(_MAP): data[n] for n in self.mapped if data[n]},
            create_missing=bool(data.get("create_missing")),
            log_conversations=bool(data.get("log_conversations")),
            approval=bool(data.get("approval")),
            site_url=site_url,
        )


def _targets(
    spec: ValueSpec, remote: Mapping[str, RemoteField], mapped: str
) -> list[tuple[str, str]]:
    """Return the CRM fields that a contact field can go to, and the one that it goes to now."""
    found = {
        one.name: f"{one.label} ({one.name})"
        for one in remote.values()
        if one.name == mapped or fits(spec, one)
    }
    if mapped:
        found.setdefault(mapped, mapped)
    return [("", "Not sent"), *found.items()]


def _initial(connection: CrmConnection) -> dict[str, Any]:
    names = ("name", "create_missing", "log_conversations", "approval")
    mapped = {_MAP + name: target for name, target in connection.field_map.items()}
    return {**connection.config, **mapped, **{name: getattr(connection, name) for name in names}}


def _setting(one: Setting, *, is_new: bool) -> forms.CharField:
    attrs = _PLAIN | {"placeholder": one.placeholder}
    widget: forms.Widget = forms.TextInput(attrs=attrs)
    help_text = one.help
    if one.secret:
        widget = forms.PasswordInput(attrs=_PLAIN | {"data-1p-ignore": "", "class": "mono"})
        help_text = one.help if is_new else "Leave empty to keep the stored one."
    return forms.CharField(
        label=one.label, required=one.required and (is_new or not one.secret), help_text=help_text,
        max_length=2000, widget=widget,
    )  # fmt: skip


class PushFilterForm(forms.Form):
    """The filter of the pushes of a connection."""

    state = forms.ChoiceField(
        required=False,
        label="State",
        choices=[("", "All"), *PushState.choices],
        error_messages={"invalid_choice": "Unknown state “%(value)s”."},
    )
    contact = forms.CharField(required=False, max_length=60)

    def contact_or_none(self) -> Contact | None:
        """Return the contact that the filter names, if there is one."""
        named = self.cleaned_data.get("contact") if self.is_valid() else ""
        return Contact.objects.filter(public_id=named).first() if named else None
