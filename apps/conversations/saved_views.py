"""Saved views: list, save, change, and delete filters, columns, and sort of a history page."""

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import Http404, QueryDict

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.core.errors import Conflict, Example, UserError

from .filters import parse
from .models import SavedView

MAX_QUERY = 10_000
_NOT_SAVED = ("cursor", "channel", "all_matching")


class ViewNameTaken(Conflict):
    """Raised for a second view of the same name, owner, and channel."""

    code = "view_name_taken"
    example = Example("You already have a view with this name.")


class ViewChanged(Conflict):
    """Raised where someone else has changed the view since the form was opened."""

    code = "view_changed"
    example = Example("Someone else has changed this view. Check it, then save again.")


class ViewTooLong(UserError):
    """Raised for filters that are too long to be stored."""

    code = "view_too_long"
    example = Example("These filters are too long for a view. Select fewer values.")


def views_of(user: User, channel: str) -> QuerySet[SavedView]:
    """Return the views that a person can open: their own first, then shared ones, by name."""
    seen = SavedView.objects.filter(Q(owner=user) | Q(shared=True), channel=channel)
    return seen.select_related("owner").order_by("name", "pk")


def may_edit(view: SavedView, user: User) -> bool:
    """Return whether a person can change a view: its owner, and admins where it is shared."""
    return view.owner_id == user.pk or (view.shared and user.effective_role == Role.ADMIN)


def editable_view(view_id: str, user: User) -> SavedView:
    """Return a view to change. Raises Http404 for those of others, PermissionDenied for shared."""
    view = SavedView.objects.select_related("owner").filter(public_id=view_id).first()
    if view is None or not (view.shared or view.owner_id == user.pk):
        raise Http404("View not found.")
    if not may_edit(view, user):
        raise PermissionDenied("Only the owner of a shared view and admins can change it.")
    return view


def plain(query: str) -> str:
    """Return the query of a page as a view stores it."""
    params = QueryDict(query, mutable=True)
    for name in _NOT_SAVED:
        params.pop(name, None)
    return params.urlencode()


@transaction.atomic
def save_new(
    *, name: str, channel: str, query: str, shared: bool, owner: User, by: Actor
) -> SavedView:
    """Save a page as a view. Raises ViewNameTaken, ViewTooLong, and FilterError."""
    view = SavedView(
        name=name, channel=channel, owner=owner, shared=shared, query=_checked(channel, query)
    )
    try:
        with transaction.atomic():
            view.save(force_insert=True)
    except IntegrityError as error:
        raise ViewNameTaken from error
    audit.record(by=by, verb="view.saved", target=view.public_id, detail={"shared": shared})
    return view


@transaction.atomic
def change(
    *, view: SavedView, revision: int, name: str, shared: bool, query: str | None, by: Actor
) -> None:
    """Change a view, with other filters unless ``query`` is None.

    Raises ViewChanged where ``revision`` isn't its latest one, ViewNameTaken, ViewTooLong, and
    FilterError.
    """
    values: dict[str, object] = {"name": name, "shared": shared, "updated_at": Now()}
    if query is not None:
        values["query"] = _checked(view.channel, query)
    unchanged = SavedView.objects.filter(pk=view.pk, revision=revision)
    try:
        with transaction.atomic():
            if not unchanged.update(revision=revision + 1, **values):
                raise ViewChanged
    except IntegrityError as error:
        raise ViewNameTaken from error
    audit.record(by=by, verb="view.changed", target=view.public_id, detail={"shared": shared})


@transaction.atomic
def delete(*, view: SavedView, by: Actor) -> None:
    """Delete a view, for everybody where it is shared."""
    SavedView.objects.filter(pk=view.pk).delete()
    audit.record(by=by, verb="view.deleted", target=view.public_id)


def _checked(channel: str, query: str) -> str:
    kept = plain(query)
    if len(kept) > MAX_QUERY:
        raise ViewTooLong
    parse(channel, QueryDict(kept))
    return kept
