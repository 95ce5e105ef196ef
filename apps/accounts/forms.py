"""Forms of sign-in, members, and API keys."""

from typing import Any

from django import forms
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.utils import timezone

from apps.accounts import throttle
from apps.accounts.models import AuditEntry, Role, User
from apps.core.errors import UserError

PASSWORD_MAX = 1000
"""Longer ones only cost time to hash."""


def add_refusal(form: forms.Form, error: UserError) -> None:
    """Show a rejection of a service at its field, or above the form."""
    fields = {name: text for name, text in error.fields.items() if name in form.fields}
    for name, text in fields.items():
        form.add_error(name, text)
    if not fields:
        form.add_error(None, error.message)


def _password(
    label: str, *, new: bool, required: bool = True, help_text: str = ""
) -> forms.CharField:
    autocomplete = "new-password" if new else "current-password"
    return forms.CharField(
        label=label,
        strip=False,
        required=required,
        max_length=PASSWORD_MAX,
        help_text=help_text,
        widget=forms.PasswordInput(attrs={"autocomplete": autocomplete}),
    )


class LoginForm(forms.Form):
    username = forms.CharField(
        label="Username",
        max_length=150,
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}
        ),
    )
    password = _password("Password", new=False)


class RoleForm(forms.Form):
    """Base of forms that give a role."""

    role = forms.ChoiceField(
        choices=Role.choices,
        help_text="Viewer reads. Operator also reruns, backfills, and exports. "
        "Editor also edits agents. Admin does everything.",
        error_messages={
            "invalid_choice": "“%(value)s” isn't a role. Use viewer, operator, editor, or admin."
        },
    )

    @property
    def role_value(self) -> Role:
        """Return the chosen role, of a valid form."""
        return Role(self.cleaned_data["role"])


class ApiKeyForm(RoleForm):
    name = forms.CharField(
        label="Name",
        max_length=100,
        help_text="What uses this key, such as “Nightly export”.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    field_order = ["name", "role"]


class PersonForm(RoleForm):
    """A person's name and role."""

    first_name = forms.CharField(label="First name", max_length=150, required=False)
    last_name = forms.CharField(label="Last name", max_length=150, required=False)
    email = forms.EmailField(label="Email", required=False)
    field_order = ["username", "first_name", "last_name", "email", "role", "password"]

    @classmethod
    def of(cls, user: User) -> "PersonForm":
        """Filled in with the facts."""
        names = ("first_name", "last_name", "email")
        known = {name: getattr(user, name) for name in names}
        return cls(initial=known | {"role": user.effective_role})


class NewPersonForm(PersonForm):
    username = forms.CharField(
        label="Username",
        max_length=150,
        validators=[UnicodeUsernameValidator()],
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    password = _password(
        "Password",
        new=True,
        required=False,
        help_text="Leave blank to create a link they can use to set their own password.",
    )


class NewPasswordForm(forms.Form):
    password = _password("New password", new=True, help_text="At least 10 characters.")
    again = _password("Confirm new password", new=True)

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("password"):
            raise forms.ValidationError("The passwords don't match.")
        return again


class ChangePasswordForm(NewPasswordForm):
    current = _password("Current password", new=False)
    field_order = ["current", "password", "again"]

    def __init__(self, user: User, data: Any = None) -> None:
        self.user = user
        super().__init__(data)

    def clean_current(self) -> str:
        current: str = self.cleaned_data["current"]
        try:
            throttle.count_password_check(person=self.user.pk, now=timezone.now())
        except throttle.TooManyAttempts as error:
            raise forms.ValidationError(error.message) from error
        if not self.user.check_password(current):
            raise forms.ValidationError("That's not your current password.")
        throttle.forgive_password_check(person=self.user.pk)
        return current


class AuditFilterForm(forms.Form):
    """The filters of the audit page; all optional, all combined."""

    verb = forms.CharField(label="Action", max_length=60, required=False)
    who = forms.CharField(label="Who", max_length=200, required=False)
    target = forms.CharField(label="Target", max_length=100, required=False)
    via = forms.ChoiceField(
        label="Via", choices=[("", "Any"), *AuditEntry.Via.choices], required=False
    )
