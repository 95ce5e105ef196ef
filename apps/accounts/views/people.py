"""Pages of members and roles, for admins."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts import services
from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import NewPasswordForm, NewPersonForm, PersonForm, add_refusal
from apps.accounts.models import Role, User
from apps.accounts.responses import changed, done, posted
from apps.core.errors import UserError
from apps.core.http import hx_trigger, render_dialog, render_either


@require_safe
@role_required(Role.ADMIN)
def person_list(request: HttpRequest) -> HttpResponse:
    """Everybody: those who may sign in first."""
    people = User.objects.order_by("-is_active", "username")
    return render_either(
        request,
        page="accounts/person_list.html",
        fragment="accounts/_person_list.html",
        context={"people": people},
    )


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("password")
@never_cache
@role_required(Role.ADMIN)
def person_new(request: HttpRequest) -> HttpResponse:
    """Add a person; without a password, show the link by which they choose one."""
    form = NewPersonForm(posted(request))
    page = "accounts/person_new.html"
    if not form.is_valid():
        return render_dialog(request, page, {"form": form})
    values = {**form.cleaned_data, "role": form.role_value}
    password = values.pop("password") or None
    try:
        person = services.create_user(**values, password=password, by=actor_of(request))
    except UserError as error:
        add_refusal(form, error)
        return render_dialog(request, page, {"form": form})
    if password is None:
        return _show_link(request, person)
    return done(request, "accounts:people", f"{person.label} added.")


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def person_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change names, email address and role."""
    person = get_object_or_404(User, pk=pk)
    data = posted(request)
    form = PersonForm.of(person) if data is None else PersonForm(data)
    page = "accounts/person_edit.html"
    if not form.is_valid():
        return render_dialog(request, page, {"form": form, "person": person})
    values = {**form.cleaned_data, "role": form.role_value}
    try:
        services.change_user(user=person, by=actor_of(request), **values)
    except UserError as error:
        add_refusal(form, error)
        return render_dialog(request, page, {"form": form, "person": person})
    return done(request, "accounts:people", f"{person.label} is saved.")


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters()
@never_cache
@role_required(Role.ADMIN)
def person_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a person a new password."""
    person = get_object_or_404(User, pk=pk)
    form = NewPasswordForm(posted(request))
    page = "accounts/person_password.html"
    if not form.is_valid():
        return render_dialog(request, page, {"form": form, "person": person})
    password = form.cleaned_data["password"]
    try:
        services.set_password(user=person, password=password, by=actor_of(request))
    except UserError as error:
        add_refusal(form, error)
        return render_dialog(request, page, {"form": form, "person": person})
    message = f"Password changed. {person.label} was signed out everywhere."
    return done(request, "accounts:people", message)


@require_POST
@never_cache
@role_required(Role.ADMIN)
def person_link(request: HttpRequest, pk: int) -> HttpResponse:
    """Make and show the link by which a person chooses a password."""
    return _show_link(request, get_object_or_404(User, pk=pk, is_active=True))


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def person_active(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then shut a person out, or let them in again."""
    person = get_object_or_404(User, pk=pk)
    page = "accounts/person_active.html"
    if request.method != "POST":
        return render_dialog(request, page, {"person": person})
    active = request.POST.get("active") == "1"
    try:
        services.set_active(user=person, active=active, by=actor_of(request))
    except UserError as error:
        return render_dialog(request, page, {"person": person, "refusal": error.message})
    message = "reactivated." if active else "deactivated and signed out."
    return done(request, "accounts:people", f"{person.label} {message}")


def _show_link(request: HttpRequest, person: User) -> HttpResponse:
    link = request.build_absolute_uri(services.password_link(person))
    shown = render_dialog(request, "accounts/person_link.html", {"person": person, "link": link})
    return hx_trigger(shown, **{changed("accounts:people"): None})
