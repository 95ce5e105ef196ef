"""Pages of single sign-on, and of links that open a session once."""

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts import oidc, sign_in_links, sso
from apps.accounts.devices import remember_device
from apps.accounts.forms import LoginForm
from apps.accounts.oidc import SignOnFailed
from apps.accounts.responses import safe_next

NEXT = "oidc_next"


@login_not_required
@never_cache
@require_safe
def start(request: HttpRequest) -> HttpResponseBase:
    """Send the browser to the identity provider."""
    if not oidc.is_on():
        raise Http404
    request.session[NEXT] = safe_next(request)
    try:
        return oidc.begin(request, request.build_absolute_uri(reverse("accounts:sso_callback")))
    except SignOnFailed as error:
        return _failed(request, error)


@login_not_required
@never_cache
@require_safe
def callback(request: HttpRequest) -> HttpResponseBase:
    """Open a session for the person who comes back from the identity provider."""
    if not oidc.is_on():
        raise Http404
    target = request.session.get(NEXT, "/")
    try:
        user = sso.sign_in_with(request, oidc.complete(request))
    except SignOnFailed as error:
        return _failed(request, error)
    request.session.pop(NEXT, None)
    response = redirect(target)
    remember_device(response, user)
    return response


def _failed(request: HttpRequest, error: SignOnFailed) -> HttpResponse:
    context = {"form": LoginForm(), "next": request.session.get(NEXT, "/"), "problem": str(error)}
    return render(request, "accounts/login.html", context, status=error.status)


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """Show whom the link signs in, and do so after a click: previews of links open nothing."""
    user = sign_in_links.user_of(token)
    if user is None:
        return render(request, "accounts/sign_in_link.html", {"person": None}, status=404)
    if request.method == "GET":
        return render(request, "accounts/sign_in_link.html", {"person": user})
    sso.open_session(request, user, by="sign-in link")
    return redirect("home")
