"""The URL map as the tests walk it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Url:
    """One URL of the map. The REST API's are known by their route: names repeat there."""

    name: str
    route: str

    @property
    def key(self) -> str:
        """Its row in the access table."""
        return self.route if self.is_api else self.name

    @property
    def is_api(self) -> bool:
        """Whether API keys open it, and sessions do not."""
        return self.route.startswith("/api/")

    @property
    def takes_text_id(self) -> bool:
        """Whether the path holds an id that anybody can write what they like into."""
        return any(name not in {"pk", "index"} for name in CONVERTER.findall(self.route))

    def path(self, things: Mapping[str, str], otherwise: str = "1") -> str:
        """The path with ids in it: of `things` by the parameter's name."""
        return CONVERTER.sub(lambda match: things.get(match[1], otherwise), self.route)


def urls() -> list[Url]:
    """Every URL of Debrief, once."""
    found = _walk(get_resolver().url_patterns, "", "/")
    return list({url.key: url for url in found}.values())


def _walk(patterns: list[URLPattern | URLResolver], space: str, route: str) -> Iterator[Url]:
    for pattern in patterns:
        if not isinstance(pattern.pattern, RoutePattern):
            # Only Django admin has regular expressions: its lists by app, and its catch-all.
            assert space == "admin:", f"{route}{pattern.pattern} is not a plain route"
            continue
        here = f"{route}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            below = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from _walk(pattern.url_patterns, below, here)
        else:
            assert pattern.name or space == "admin:", f"{here} needs a name"
            yield Url(f"{space}{pattern.name or here}", here)
