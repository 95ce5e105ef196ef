"""What every page knows about who looks at it."""

from django.http import HttpRequest

from apps.accounts.models import Role, User


def access(request: HttpRequest) -> dict[str, object]:
    """`may.operator`, `may.editor`, `may.admin`: whether to offer what asks for that role.

    Only offers: the views have their own gate (`role_required`).
    """
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {"may": {}}
    role = user.effective_role
    return {"may": {needed.value: role.allows(needed) for needed in Role}, "my_role": role}
