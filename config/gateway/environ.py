"""An ASGI scope as the WSGI environ that Django reads."""

import sys
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import unquote_to_bytes

Headers = Mapping[str, str]

#: Of these one value is sent; a second one is a trick to make two programs read two things.
_ONCE = {"content-length", "content-type", "host"}


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by their lower-case names; several of a name are joined.

    Names with an underscore are dropped: `X_Forwarded_For` would pass for `X-Forwarded-For`.
    """
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if "_" in name:
            continue
        if name not in found:
            found[name] = value
        elif name not in _ONCE:
            found[name] += ("; " if name == "cookie" else ",") + value
    return found


def build_environ(
    scope: Mapping[str, Any], headers: Headers, body: IO[bytes], length: int
) -> dict[str, Any]:
    """Return the environ of a request whose body has arrived whole."""
    path = unquote_to_bytes(scope.get("raw_path") or scope["path"].encode())
    server, client = scope.get("server") or ("localhost", 80), scope.get("client")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": client[0] if client else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        if name == "content-type":
            environ["CONTENT_TYPE"] = value
        elif name not in {"content-length", "transfer-encoding"}:
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    if length or "content-length" in headers:
        environ["CONTENT_LENGTH"] = str(length)
    return environ
