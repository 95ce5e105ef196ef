"""Django admin for the boring rest: for the role Admin, behind our own login."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.decorators import method_decorator

from apps.accounts.access import refusal_message
from apps.accounts.models import Role, User

V = TypeVar("V", bound=Callable[..., HttpResponseBase])


class DebriefAdminSite(AdminSite):
    """The admin site, without its own login form, which would bypass Debrief's sign-in limits."""

    site_header = "Debrief · Django admin"
    site_title = "Debrief"
    index_title = "Database admin"

    def has_permission(self, request: HttpRequest) -> bool:
        """Admins only."""
        user = request.user
        return isinstance(user, User) and user.is_active and user.effective_role is Role.ADMIN

    def admin_view(self, view: V, cacheable: bool = False) -> V:  # noqa: FBT001, FBT002 (Django's signature)
        """Django's gate; it would offer a login to those who are signed in and may not enter."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if isinstance(request.user, User) and not self.has_permission(request):
                raise PermissionDenied(refusal_message(request.user.effective_role, Role.ADMIN))
            return inner(request, *args, **kwargs)

        return cast("V", guarded)

    @method_decorator(login_not_required)
    def login(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """Sends everybody to the login page."""
        target = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
        return redirect_to_login(target, reverse("accounts:login"))
