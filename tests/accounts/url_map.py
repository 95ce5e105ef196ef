"""The URL map as the tests walk it."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.urls.resolvers import RegexPattern

# What stands for an id that nobody has, by the name of the path converter.
NOBODY = {
    "IntConverter": 987654321,
    "SlugConverter": "none-such",
    "StringConverter": "none-such",
    "PathConverter": "none/such",
    "UUIDConverter": "00000000-0000-4000-8000-000000000000",
}


@dataclass(frozen=True)
class Url:
    """One URL of the map, with made-up ids in it."""

    name: str
    path: str

    @property
    def is_api(self) -> bool:
        """Whether API keys open it, and sessions do not."""
        return self.path.startswith("/api/")


def urls() -> list[Url]:
    """Every URL of Debrief."""
    return list(_walk(get_resolver().url_patterns, "", {}))


def _walk(
    patterns: list[URLPattern | URLResolver], space: str, arguments: dict[str, object]
) -> Iterator[Url]:
    for pattern in patterns:
        converters = getattr(pattern.pattern, "converters", {})
        known = arguments | {
            name: NOBODY.get(type(converter).__name__, "none-such")
            for name, converter in converters.items()
        }
        if isinstance(pattern.pattern, RegexPattern):  # the admin's list of one app
            known |= dict.fromkeys(pattern.pattern.regex.groupindex, "accounts")
        if isinstance(pattern, URLResolver):
            below = f"{space}{pattern.namespace}:" if pattern.namespace else space
            yield from _walk(pattern.url_patterns, below, known)
        elif pattern.name is not None:
            yield Url(f"{space}{pattern.name}", reverse(f"{space}{pattern.name}", kwargs=known))
        elif not space.startswith("admin:"):  # the admin's own catch-all has no name
            raise AssertionError(f"{space}{pattern.pattern} needs a name")
