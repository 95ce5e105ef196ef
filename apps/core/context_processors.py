"""What every page says of the installation as a whole."""

from django.conf import settings
from django.http import HttpRequest


def notices(request: HttpRequest) -> dict[str, bool]:
    """``bundled_model``: responses come from the small local model."""
    return {"bundled_model": settings.BUNDLED_MODEL}
