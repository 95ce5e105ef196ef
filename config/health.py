"""Two public responses for whatever watches the installation; neither says anything about data."""

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config.disk import probe
from config.heartbeat import worker_seen


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Return 200 while this process runs."""
    return JsonResponse({"status": "ok"})


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker, a worker and disk space are there, else 503 and which is not."""
    database = _database_answers()
    reason = probe.reason() if database else ""
    found = {"database": database, "broker": False, "worker": False, "disk": not reason}
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2) as client:
            found["broker"] = bool(client.ping())
            found["worker"] = worker_seen(client)
    except redis.RedisError:
        pass
    ready = all(found.values())
    body: dict[str, object] = {"status": "ready" if ready else "not ready", **found}
    if reason:
        body["reason"] = reason
    return JsonResponse(body, status=200 if ready else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True
