"""Add, edit, merge, and delete contacts."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import posted
from apps.contacts.models import Contact, ContactAlias, ContactField
from apps.core.errors import UserError
from apps.core.http import hx_redirect, render_dialog
from apps.mappings.directory import merge_preview, people
from apps.mappings.directory.profile import BUILT_IN_LABELS, counts_of
from apps.mappings.edits import release_alias, set_by_hand
from apps.mappings.forms import ContactForm
from apps.mappings.merge import merge as merge_contacts

from .common import changed, contact_or_404


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def new(request: HttpRequest) -> HttpResponse:
    """Add a contact by hand."""
    form = ContactForm(ContactField.objects.all(), None, posted(request))
    if form.is_valid():
        try:
            contact = people.create_contact(values=form.changed, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            messages.success(request, "Contact created.")
            return hx_redirect(request, reverse("contacts:detail", args=[contact.public_id]))
    return render_dialog(request, "contacts/edit.html", _edit_context(form, None))


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def edit(request: HttpRequest, contact_id: str) -> HttpResponse:
    """Edit a contact's values. Only edited fields change."""
    contact = contact_or_404(contact_id)
    form = ContactForm(ContactField.objects.all(), contact, posted(request))
    if form.is_valid() and not form.add_conflicts():
        try:
            set_by_hand(contact=contact, values=form.changed, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            return changed(request, contact, "Contact updated.")
    return render_dialog(request, "contacts/edit.html", _edit_context(form, contact))


def _edit_context(form: ContactForm, contact: Contact | None) -> dict[str, object]:
    names = set(BUILT_IN_LABELS)
    return {
        "form": form,
        "contact": contact,
        "person": [form[name] for name in BUILT_IN_LABELS],
        "custom": [form[name] for name in form.fields if name not in {*names, "seen"}],
        "nav": "contacts",
    }


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def merge(request: HttpRequest, contact_id: str) -> HttpResponse:
    """Find the other contact, show what results, then merge it into this one."""
    kept = contact_or_404(contact_id)
    other_id = request.POST.get("other", "") or request.GET.get("other", "")
    other = Contact.objects.filter(public_id=other_id).first() if other_id else None
    problem = "This contact no longer exists." if other_id and other is None else ""
    if request.method == "POST" and other is not None:
        try:
            merged = merge_contacts(contact=kept, duplicate=other, by=actor_of(request))
        except UserError as error:
            problem = error.message
        else:
            return changed(request, merged, "Contacts merged.")
    text = request.GET.get("q", "").replace("\x00", "").strip()
    context = {
        "contact": kept,
        "other": None if problem else other,
        "searched": text,
        "candidates": merge_preview.candidates(kept, text),
        "problem": problem,
        "preview": merge_preview.preview(kept, other) if other and not problem else None,
        "nav": "contacts",
    }
    return render_dialog(request, "contacts/merge.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def alias_release(request: HttpRequest, contact_id: str, alias_id: int) -> HttpResponse:
    """Confirm, then release a former phone number or email of a contact."""
    contact = contact_or_404(contact_id)
    alias = get_object_or_404(ContactAlias, pk=alias_id, contact=contact)
    if request.method != "POST":
        context = {"contact": contact, "alias": alias, "nav": "contacts"}
        return render_dialog(request, "contacts/alias_release.html", context)
    release_alias(alias=alias, by=actor_of(request))
    what = "Phone number" if alias.phone_number else "Email"
    return changed(request, contact, f"{what} released.")


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def delete(request: HttpRequest, contact_id: str) -> HttpResponse:
    """Confirm with numbers, then delete the contact. Its conversations stay."""
    contact = contact_or_404(contact_id)
    if request.method != "POST":
        counts = counts_of(contact)
        context = {
            "contact": contact,
            "total": counts["calls"] + counts["chats"],
            "by_people": contact.contributions.count(),
            "nav": "contacts",
        }
        return render_dialog(request, "contacts/delete.html", context)
    people.delete_contact(contact=contact, by=actor_of(request))
    messages.success(request, "Contact deleted.")
    return hx_redirect(request, reverse("contacts:list"))
