"""The page at /api/docs: the OpenAPI document as people read it, with curl for each operation.

Drawn on the server from the same document that programs fetch: no script, nothing that the
content policy would have to be loosened for.
"""

import json
import shlex
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.api_auth import session_or_key

from . import limits
from .instance import api
from .schema_text import fields_of

Json = dict[str, Any]
_CLASSES = {
    limits.READ: "reads",
    limits.CHANGE: "changes and paid requests",
    limits.INTAKE: "conversations one by one",
    limits.BULK: "bulk bodies",
}


@require_safe
@never_cache
def reference(request: HttpRequest) -> HttpResponseBase:
    """For people who signed in, and for keys; a browser without either goes to the login."""
    wants_page = request.get_preferred_type(["text/html", "application/json"]) == "text/html"
    stranger = not request.user.is_authenticated and "Authorization" not in request.headers
    if stranger and wants_page:
        return redirect_to_login(request.get_full_path(), reverse("accounts:login"))
    return session_or_key(_page)(request)


def _page(request: HttpRequest) -> HttpResponse:
    document = api.get_openapi_schema()
    base = f"{request.scheme}://{request.get_host()}"
    context = {
        "nav": "api_docs",
        "base": base,
        "groups": list(_groups(document, base)),
        "schema_url": reverse("api:openapi-json"),
        "limits": [(_CLASSES[kind], n) for kind, n in settings.API_RATE_LIMITS.items() if n],
    }
    return render(request, "api/reference.html", context)


def _groups(document: Json, base: str) -> Iterator[Json]:
    """The operations by their tags, in the order of the tags."""
    found: dict[str, list[Json]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, details in methods.items():
            shown = _operation(document, base, path, method, details)
            found[details["tags"][0]].append(shown)
    for tag in document["tags"]:
        yield {**tag, "operations": found[tag["name"]]}


def _operation(document: Json, base: str, path: str, method: str, details: Json) -> Json:
    good = [(s, r) for s, r in details["responses"].items() if s < "300"]
    refused = [(s, r) for s, r in details["responses"].items() if s >= "400"]
    return {
        "id": details["operationId"],
        "summary": details["summary"],
        "description": details.get("description", ""),
        "method": method.upper(),
        "path": path,
        "parameters": [_parameter(p) for p in details["parameters"] if p["in"] != "header"],
        "takes": fields_of(document, _schema(details.get("requestBody"))),
        "curl": _curl(base, path, method, details),
        "answers": [
            {
                "status": status,
                "description": response["description"],
                "example": _pretty(_example(response)),
            }
            for status, response in good
        ],
        "refusals": [
            {
                "status": status,
                "codes": [
                    {"code": code, "message": example["value"]["error"]["message"]}
                    for code, example in response["content"]["application/json"]["examples"].items()
                ],
            }
            for status, response in refused
        ],
    }


def _parameter(parameter: Json) -> Json:
    schema = parameter["schema"]
    values = schema.get("enum") or schema.get("items", {}).get("enum") or []
    return {**parameter, "values": values, "default": schema.get("default")}


def _schema(body: Json | None) -> Json | None:
    content = body["content"] if body else {}
    return content["application/json"]["schema"] if "application/json" in content else None


def _example(response: Json) -> Any:
    return response.get("content", {}).get("application/json", {}).get("example")


def _pretty(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, indent=2)


def _curl(base: str, path: str, method: str, details: Json) -> str:
    """One call with the example's values, to be copied into a shell."""
    for parameter in details["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    verb = "" if method == "get" else f"-X {method.upper()} "
    lines = [f"curl {verb}{base}{path}", '-H "Authorization: Bearer $DEBRIEF_KEY"']
    for kind, content in details.get("requestBody", {}).get("content", {}).items():
        lines.append(f'-H "Content-Type: {kind}"')
        lines.append(_data(kind, content))
    return " \\\n  ".join(lines)


def _data(kind: str, content: Json) -> str:
    if kind != "application/json":
        return "--data-binary @conversations.jsonl"
    return f"-d {shlex.quote(json.dumps(content.get('example', {}), ensure_ascii=False))}"
