"""Read and check the settings of single sign-on."""

from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

ROLES = ("viewer", "operator", "editor", "admin")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def roles(pairs: list[str]) -> list[tuple[str, str]]:
    """Return groups with the role that each grants, from texts such as `debrief-ops=operator`."""
    found = []
    for pair in pairs:
        group, _, role = pair.strip().rpartition("=")
        if not group or role not in ROLES:
            raise ImproperlyConfigured(
                f"OIDC_ROLES takes GROUP=ROLE with a role of {', '.join(ROLES)}, not {pair!r}."
            )
        found.append((group, role))
    return found


def check(
    issuer: str, client_id: str, secret: str, *, roles: list[tuple[str, str]], only: bool
) -> None:
    """Reject half a configuration: all four variables, or none."""
    parts = {
        "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_ID": client_id,
        "OIDC_CLIENT_SECRET": secret,
        "OIDC_ROLES": roles,
    }
    missing = [name for name, value in parts.items() if not value]
    if (only or len(missing) < len(parts)) and missing:
        raise ImproperlyConfigured(f"Single sign-on needs {', '.join(missing)}, too.")
    if issuer:
        url = urlsplit(issuer)
        if not url.hostname or not (
            url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
        ):
            raise ImproperlyConfigured(f"OIDC_ISSUER must be an https:// URL, not {issuer!r}.")


def origins(issuer: str) -> list[str]:
    """Return the origin of the issuer, for the content security policy."""
    url = urlsplit(issuer)
    return [f"{url.scheme}://{url.netloc}"] if url.netloc else []
