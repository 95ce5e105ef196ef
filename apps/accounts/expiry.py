"""Handle requests whose session or CSRF token has ended, so that nothing typed is lost (0030).

With htmx a header says which of the two it is: `static/js/session.js` asks for the password over
the page, or takes the new token, and sends the same request again. Without script the response is
a page that holds the submitted form and sends it again.
"""

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.middleware.csrf import get_token
from django.shortcuts import render, resolve_url
from django.utils import timezone

from apps.accounts.forms import LoginForm, add_refusal
from apps.accounts.models import User
from apps.accounts.signin import sign_in
from apps.core.errors import UserError

HEADER = "X-Session"
ENDED = "ended"
STALE = "stale"
TOKEN_HEADER = "X-New-CSRF-Token"  # noqa: S105 (a name)

#: Set while somebody is signed in and removed when they sign out: who comes without a session
#: but with this was signed out by us.
MARK = "signed_in"
MARK_AGE = 365 * 24 * 3600

PREFIX = "sign-in"
#: A page of what was sent is answered at most this large.
MAX_KEPT = 2_000_000
_TOKEN = "csrfmiddlewaretoken"  # noqa: S105 (the name of a field)


def is_htmx(request: HttpRequest) -> bool:
    """Return whether script sent the request and can read a header."""
    return request.headers.get("HX-Request") == "true"


def ended_for_htmx() -> HttpResponse:
    """Report to the page's script that no one is signed in. Nothing was done."""
    return HttpResponse(status=204, headers={HEADER: ENDED})


def stale_for_htmx(request: HttpRequest) -> HttpResponse:
    """Reject a request with an old token, and hand out the new one: only our page can read it."""
    words = "This page was out of date. Nothing was saved. Reload it and try again."
    return HttpResponse(
        words,
        status=403,
        content_type="text/plain; charset=utf-8",
        headers={HEADER: STALE, TOKEN_HEADER: get_token(request)},
    )


def to_login(request: HttpRequest) -> HttpResponse:
    """Lead to the login, which says why where someone was signed in before."""
    query = QueryDict(mutable=True)
    query[REDIRECT_FIELD_NAME] = request.get_full_path()
    if request.COOKIES.get(MARK):
        query["why"] = ENDED
    return HttpResponseRedirect(f"{resolve_url(settings.LOGIN_URL)}?{query.urlencode(safe='/')}")


def is_from_our_page(request: HttpRequest) -> bool:
    """Return whether a browser vouches that a page of this site sent the request."""
    origin = request.headers.get("Origin")
    if origin and origin != f"{request.scheme}://{request.get_host()}":
        return False
    site = request.headers.get("Sec-Fetch-Site")
    return site == "same-origin" if site else bool(origin)


def has_typed(request: HttpRequest) -> bool:
    """Return whether a POST holds something that would be lost, and that a page can hold."""
    sent = [(name, value) for name, value in _sent(request) if value]
    return bool(sent) and sum(len(value) for _, value in sent) <= MAX_KEPT


def send_again(request: HttpRequest, form: LoginForm | None = None) -> HttpResponse:
    """Show a page that holds the submitted form, asks to sign in, and sends it again."""
    if not request.user.is_authenticated:
        form = form or LoginForm(prefix=PREFIX)
    context = {"form": form, "sent": _sent(request), "action": request.get_full_path()}
    response = render(request, "accounts/send_again.html", context, status=403)
    response["Cache-Control"] = "no-store"
    return response


def sign_in_with(request: HttpRequest) -> HttpResponse | None:
    """Sign in by the fields of `send_again`. Returns None where the view may continue."""
    form = LoginForm(request.POST, prefix=PREFIX)
    if form.is_valid():
        try:
            sign_in(request=request, **form.cleaned_data, now=timezone.now())
        except UserError as error:
            add_refusal(form, error)
        else:
            rest = request.POST.copy()
            for name in form.fields:
                del rest[form.add_prefix(name)]
            request.POST = rest  # type: ignore[assignment]
            return None
    return send_again(request, form)


def asks_to_sign_in(request: HttpRequest) -> bool:
    """Return whether a POST is of the page of `send_again`."""
    return request.method == "POST" and f"{PREFIX}-username" in request.POST


def mark(request: HttpRequest, response: HttpResponse) -> None:
    """Remember in the browser that someone is signed in."""
    user = getattr(request, "_cached_user", None)  # only if the request asked for its user
    if isinstance(user, User) and not request.COOKIES.get(MARK):
        response.set_cookie(
            MARK,
            "1",
            max_age=MARK_AGE,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def _sent(request: HttpRequest) -> list[tuple[str, str]]:
    own = {_TOKEN, f"{PREFIX}-username", f"{PREFIX}-password"}
    lists = request.POST.lists()
    return [(name, str(v)) for name, values in lists if name not in own for v in values]
