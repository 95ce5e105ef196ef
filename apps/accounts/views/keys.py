"""API keys: for admins."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import ApiKeyForm
from apps.accounts.keys import AlreadyRevoked, create_api_key, revoke_api_key
from apps.accounts.models import ApiKey, Role
from apps.accounts.responses import changed, done, posted
from apps.core.http import hx_trigger, render_dialog, render_either


@require_safe
@role_required(Role.ADMIN)
def key_list(request: HttpRequest) -> HttpResponse:
    """Show every key: those that work first, then the revoked ones."""
    keys = ApiKey.objects.in_page_order()
    return render_either(
        request,
        page="accounts/api_key_list.html",
        fragment="accounts/_api_key_list.html",
        context={"keys": keys},
    )


@require_http_methods(["GET", "POST"])
@never_cache
@role_required(Role.ADMIN)
def key_new(request: HttpRequest) -> HttpResponse:
    """Create a key and show it, this once."""
    form = ApiKeyForm(posted(request))
    if not form.is_valid():
        return render_dialog(request, "accounts/api_key_form.html", {"form": form})
    key, secret = create_api_key(
        name=form.cleaned_data["name"], role=form.role_value, by=actor_of(request)
    )
    agents = request.build_absolute_uri("/api/agents")
    curl = f"curl -H 'Authorization: Bearer {secret}' {agents}"
    context = {"key": key, "secret": secret, "curl": curl}
    shown = render_dialog(request, "accounts/api_key_created.html", context)
    return hx_trigger(shown, **{changed("accounts:api_keys"): None})


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def key_revoke(request: HttpRequest, key_id: str) -> HttpResponse:
    """Ask, then end a key."""
    key = get_object_or_404(ApiKey, public_id=key_id)
    if request.method != "POST":
        return render_dialog(request, "accounts/api_key_revoke.html", {"key": key})
    try:
        revoke_api_key(key=key, by=actor_of(request))
    except AlreadyRevoked as error:
        return done(request, "accounts:api_keys", error.message)
    return done(request, "accounts:api_keys", f"{key.name} revoked.")
