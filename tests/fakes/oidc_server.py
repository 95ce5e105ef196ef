"""An identity provider that speaks OpenID Connect, with real signatures, and can lie.

`person` holds the claims of whoever signs in; the next ID token is changed by `change`. It checks
what a provider checks: the client's secret, the redirect address, the code (once), and PKCE.
"""

import base64
import hashlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from .server_thread import ServerThread

CLIENT, SECRET = "debrief", "a secret of the client"
Claims = dict[str, Any]


class OidcServer(ServerThread):
    """A running provider. Knobs are attributes."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
        self.published = [self.key]
        self.person: Claims = {}
        self.userinfo: Claims = {}
        self.change: Callable[[Claims], Claims] = lambda claims: claims
        self.issuer = ""
        self.denies = ""
        self.broken: dict[str, int] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._codes: dict[str, dict[str, str]] = {}
        super().__init__()

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        body = (await request.read()).decode()
        texts = parse_qs(request.query_string or body)
        sent = {name: values[0] for name, values in texts.items()}
        self.requests.append((request.path, sent))
        if status := self.broken.get(request.path):
            return web.Response(status=status, text="not JSON")
        routes: dict[str, Callable[[web.BaseRequest, dict[str, str]], web.Response]] = {
            "/.well-known/openid-configuration": self._discovery,
            "/authorize": self._authorize,
            "/token": self._token,
            "/keys": self._keys,
            "/userinfo": self._userinfo,
        }
        route = routes.get(request.path)
        return route(request, sent) if route else web.Response(status=404)

    def _discovery(self, request: web.BaseRequest, sent: dict[str, str]) -> web.Response:
        body = {
            "issuer": self.issuer or self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "end_session_endpoint": f"{self.url}/end",
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }
        if self.userinfo:
            body["userinfo_endpoint"] = f"{self.url}/userinfo"
        return web.json_response(body)

    def _authorize(self, request: web.BaseRequest, sent: dict[str, str]) -> web.Response:
        assert sent["response_type"] == "code"
        assert sent["client_id"] == CLIENT
        assert sent["code_challenge_method"] == "S256"
        back = {"state": sent["state"]}
        if self.denies:
            back |= {"error": self.denies, "error_description": "<b>no</b>"}
        else:
            code = f"code-{len(self._codes)}"
            self._codes[code] = sent
            back["code"] = code
        location = f"{sent['redirect_uri']}?{urlencode(back)}"
        return web.Response(status=302, headers={"Location": location})

    def _token(self, request: web.BaseRequest, sent: dict[str, str]) -> web.Response:
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".replace(" ", "%20").encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("Authorization") not in {f"Basic {basic}", f"Basic {plain}"}:
            return web.json_response({"error": "invalid_client"}, status=401)
        asked = self._codes.pop(sent.get("code", ""), None)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or asked["redirect_uri"] != sent.get("redirect_uri")
            or asked["code_challenge"] != challenge
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = self.change(
            {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
            | self.person
        )
        header = {"alg": "RS256", "kid": str(self.key.kid)}
        token = jwt.encode(header, claims, self.key)
        return web.json_response(
            {"access_token": "opaque", "token_type": "Bearer", "id_token": token}
        )

    def _keys(self, request: web.BaseRequest, sent: dict[str, str]) -> web.Response:
        return web.json_response(KeySet(list(self.published)).as_dict(private=False))

    def _userinfo(self, request: web.BaseRequest, sent: dict[str, str]) -> web.Response:
        assert request.headers["Authorization"] == "Bearer opaque"
        return web.json_response(self.userinfo)
