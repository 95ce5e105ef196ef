"""Signing in and out, and one's own password."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout as end_session
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import expiry, oidc, services
from apps.accounts.access import user_of, wants_json
from apps.accounts.actors import Actor
from apps.accounts.devices import remember_device
from apps.accounts.forms import ChangePasswordForm, LoginForm, NewPasswordForm, add_refusal
from apps.accounts.responses import posted, safe_next
from apps.accounts.signin import sign_in
from apps.core.errors import UserError
from apps.core.http import hx_trigger, render_either, wants_fragment


@login_not_required
@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Show the sign-in page; afterward on to `next`, if that is a page of Debrief.

    Over a page whose session ended it is a dialog, and the page continues automatically.
    """
    target = safe_next(request)
    if request.method == "GET" and request.user.is_authenticated:
        return _signed_in(request, target)
    form = LoginForm(posted(request))
    if form.is_valid():
        try:
            user = sign_in(request=request, **form.cleaned_data, now=timezone.now())
        except UserError as error:
            add_refusal(form, error)
        else:
            response = _signed_in(request, target)
            remember_device(response, user)
            return response
    ended = request.GET.get("why") == expiry.ENDED and request.method == "GET"
    context = {"form": form, "next": target, "ended": ended}
    return render_either(
        request, page="accounts/login.html", fragment="accounts/_login.html", context=context
    )


def _signed_in(request: HttpRequest, target: str) -> HttpResponse:
    if not wants_fragment(request):
        return redirect(target)
    begun = {"token": get_token(request), "username": user_of(request).username}
    return hx_trigger(HttpResponse(status=204), **{"session:begun": begun})


@login_not_required
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Handle a request whose token is not of this session, without losing its content."""
    if wants_json(request) or request.path.startswith("/admin/"):
        return render(request, "403_csrf.html", status=403)
    if expiry.is_htmx(request):
        if request.user.is_authenticated:
            return expiry.stale_for_htmx(request)
        return expiry.ended_for_htmx()
    if expiry.is_from_our_page(request):
        if request.path == resolve_url(settings.LOGIN_URL):  # a password is not sent by itself
            return redirect(f"{request.path}?{urlencode({'next': safe_next(request)})}")
        if expiry.has_typed(request):
            return expiry.send_again(request)
    return render(request, "403_csrf.html", status=403)


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End the session. By POST only, so that no link or image can do it."""
    id_token = request.session.get(oidc.ID_TOKEN)
    back = request.build_absolute_uri(resolve_url(settings.LOGOUT_REDIRECT_URL))
    end_session(request)
    response = redirect(oidc.sign_out_url(id_token, back) or settings.LOGOUT_REDIRECT_URL)
    response.delete_cookie(expiry.MARK, samesite="Lax")
    # Whatever a browser stored in spite of no-store. Not its storage: the theme is kept there.
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Who I am, what I may do, and a new password."""
    user = user_of(request)
    form = ChangePasswordForm(user, posted(request))
    if form.is_valid():
        try:
            services.set_password(
                user=user, password=form.cleaned_data["password"], by=Actor.of_user(user)
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            update_session_auth_hash(request, user)
            messages.success(request, "Password changed. You were signed out everywhere else.")
            return redirect("accounts:profile")
    return render(request, "accounts/profile.html", {"form": form, "person": user})


@login_not_required
@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "POST"])
def choose_password(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Show the page behind the link that an admin hands to a person."""
    user = services.user_of_link(uid, token)
    if user is None:
        return render(request, "accounts/choose_password.html", {"form": None}, status=404)
    form = NewPasswordForm(posted(request))
    if form.is_valid():
        try:
            services.set_password(
                user=user, password=form.cleaned_data["password"], by=Actor.of_user(user)
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            messages.success(request, "Password saved. Sign in to continue.")
            return redirect("accounts:login")
    return render(request, "accounts/choose_password.html", {"form": form, "person": user})
