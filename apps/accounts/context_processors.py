"""What every page knows about who looks at it."""

from django.conf import settings
from django.http import HttpRequest

from apps.accounts.models import Role, User


def access(request: HttpRequest) -> dict[str, object]:
    """`may.operator`, `may.editor`, `may.admin`: whether to offer what asks for that role.

    Only offers: the views have their own gate (`role_required`). Strangers get `sso`: the label of
    single sign-on, and whether there is no other way in.
    """
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        sso = {"label": settings.OIDC_LABEL, "only": settings.OIDC_ONLY}
        return {"may": {}, "sso": sso if settings.OIDC_ISSUER else None}
    role = user.effective_role
    return {"may": {needed.value: role.allows(needed) for needed in Role}, "my_role": role}
