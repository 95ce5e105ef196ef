"""Two public answers for whatever watches the installation; neither says anything about data."""

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config.heartbeat import worker_seen


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while this process answers at all."""
    return JsonResponse({"status": "ok"})


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker and at least one worker are there, else 503 and which is not."""
    found = {"database": _database_answers(), "broker": False, "worker": False}
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2) as client:
            found["broker"] = bool(client.ping())
            found["worker"] = worker_seen(client)
    except redis.RedisError:
        pass
    ready = all(found.values())
    return JsonResponse(
        {"status": "ready" if ready else "not ready", **found}, status=200 if ready else 503
    )


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True
