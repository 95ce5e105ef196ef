"""Single sign-on by OpenID Connect: to the identity provider and back, with verified claims.

Authlib does discovery, state, nonce, PKCE, and the ID token. Each failure becomes one message.
"""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import MismatchingStateError, OAuthError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from joserfc.errors import JoseError

from apps.core.errors import UserError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10
ID_TOKEN = "oidc_id_token"  # noqa: S105 (a name)
"""The session's key of the ID token, which the provider wants back at sign-out."""


class SignOnFailed(UserError):
    """Raised where the identity provider or its response does not open a session."""

    code = "sign_on_failed"
    status = 401


class SignOnDenied(SignOnFailed):
    """The identity provider knows this person, and Debrief doesn't admit them."""

    code = "sign_on_denied"
    status = 403


_UNVERIFIED = "The identity provider's response can't be verified: {}. Sign in again."
_AGAIN = "This sign-in took too long, or was started in another browser. Sign in again."
_SENTENCES = {
    "access_denied": "The identity provider denied the sign-in. Ask its administrator for access.",
    "login_required": "The identity provider asks you to sign in there first. Sign in again.",
    "invalid_grant": _AGAIN,
    "invalid_client": (
        "The identity provider rejected Debrief's credentials. "
        "An admin has to check OIDC_CLIENT_ID and OIDC_CLIENT_SECRET."
    ),
    "unauthorized_client": (
        "The identity provider doesn't admit Debrief. "
        "An admin has to check the client's settings there."
    ),
    "expired_token": _UNVERIFIED.format("it has expired; the clocks may differ"),
    "invalid_claim": _UNVERIFIED.format("it was issued by or for another system"),
    "missing_claim": _UNVERIFIED.format("a required claim is missing"),
}


def is_on() -> bool:
    """Return whether single sign-on is configured."""
    return bool(settings.OIDC_ISSUER)


@lru_cache(maxsize=4)
def _client_of(issuer: str, client_id: str, secret: str, scopes: str) -> Any:
    return OAuth().register(
        "debrief",
        client_id=client_id,
        client_secret=secret,
        server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": scopes,
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT_SECONDS,
        },
    )


def _client() -> Any:
    return _client_of(
        settings.OIDC_ISSUER,
        settings.OIDC_CLIENT_ID,
        settings.OIDC_CLIENT_SECRET,
        settings.OIDC_SCOPES,
    )


def begin(request: HttpRequest, redirect_uri: str) -> HttpResponseBase:
    """Return the redirect to the identity provider. State, nonce, and verifier go to the session.

    Raises SignOnFailed.
    """
    try:
        _check_issuer()
        response: HttpResponseBase = _client().authorize_redirect(request, redirect_uri)
    except Exception as error:
        raise _failure(error) from error
    return response


def complete(request: HttpRequest) -> dict[str, Any]:
    """Return the verified claims of the person who comes back. Raises SignOnFailed."""
    try:
        _check_issuer()
        return _claims(request)
    except Exception as error:
        raise _failure(error) from error


def _claims(request: HttpRequest) -> dict[str, Any]:
    client = _client()
    expected = {
        "iss": {"essential": True, "values": [client.load_server_metadata()["issuer"]]},
        "aud": {"essential": True, "values": [settings.OIDC_CLIENT_ID]},
    }
    token = client.authorize_access_token(request, claims_options=expected, leeway=60)
    if not token.get("userinfo"):
        raise SignOnFailed(_UNVERIFIED.format("it has no ID token"))
    claims: dict[str, Any] = dict(token["userinfo"])
    has_userinfo = "userinfo_endpoint" in client.load_server_metadata()
    if settings.OIDC_GROUPS_CLAIM not in claims and has_userinfo:
        more = dict(client.userinfo(token=token))
        if more.get("sub") != claims["sub"]:
            raise SignOnFailed(_UNVERIFIED.format("it describes two people"))
        claims = more | claims
    request.session[ID_TOKEN] = token["id_token"]
    return claims


def _check_issuer() -> None:
    """Reject a provider that describes another issuer than the configured one."""
    metadata = _client().load_server_metadata()
    found = str(metadata.get("issuer", ""))
    if found.rstrip("/") != settings.OIDC_ISSUER.rstrip("/"):
        raise SignOnFailed(
            "The identity provider's configuration is of another issuer. "
            "An admin has to check OIDC_ISSUER."
        )


def _failure(error: Exception) -> SignOnFailed:
    """Return the message for an error; the log has its kind, and nothing that was sent."""
    if not isinstance(error, MismatchingStateError):
        _client_of.cache_clear()  # keys and endpoints are read again at the next attempt
    if isinstance(error, SignOnFailed):
        found = error
    elif isinstance(error, requests.RequestException):
        found = SignOnFailed("The identity provider isn't responding. Try again in a minute.")
    elif isinstance(error, MismatchingStateError):
        found = SignOnFailed(_AGAIN)
    elif isinstance(error, (OAuthError, AuthlibBaseError)):
        sentence = _SENTENCES.get(error.error or "")
        found = SignOnFailed(sentence or "The identity provider rejected the sign-in.")
    elif isinstance(error, JoseError):
        sentence = _SENTENCES.get(error.error)
        found = SignOnFailed(sentence or _UNVERIFIED.format("its signature is wrong"))
    elif isinstance(error, (ValueError, KeyError, RuntimeError, TypeError)):
        found = SignOnFailed(
            "The identity provider's response can't be read. An admin has to check OIDC_ISSUER."
        )
    else:
        raise error
    logger.warning("Single sign-on failed: %s", getattr(error, "error", type(error).__name__))
    return found


def sign_out_url(id_token: str | None, back: str) -> str:
    """Return where the session at the identity provider ends; empty where it can't be ended.

    Only at the issuer's own origin: pages may send forms to no other (CONTENT_SECURITY_POLICY).
    """
    if not (is_on() and id_token):
        return ""
    try:
        url = str(_client().create_logout_url(back, id_token_hint=id_token)["url"])
    except (requests.RequestException, AuthlibBaseError, ValueError, RuntimeError):
        return ""
    return url if _origin(url) == _origin(settings.OIDC_ISSUER) else ""


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def groups_of(claims: Mapping[str, Any]) -> set[str]:
    """Return the groups among claims: a list, or one text."""
    found = claims.get(settings.OIDC_GROUPS_CLAIM)
    if isinstance(found, str):
        return {found}
    return {str(name) for name in found} if isinstance(found, list) else set()
