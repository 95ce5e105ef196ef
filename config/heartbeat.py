"""A worker says that it lives: one key in the broker that each worker process renews."""

import contextlib
import os
import socket
import threading

import redis
from django.conf import settings

KEY = "debrief:worker-seen"
EVERY_SECONDS = 2.0
COUNTS_FOR_SECONDS = 10


def worker_seen(client: "redis.Redis") -> bool:
    """True when some worker has renewed the key within the last COUNTS_FOR_SECONDS."""
    return bool(client.exists(KEY))


def beat_until(stopped: threading.Event) -> None:
    """Renew the key until `stopped`; a broker that is away is tried again, quietly."""
    me = f"{socket.gethostname()}:{os.getpid()}"
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2) as client:
        while not stopped.is_set():
            # A broker that is away needs no word here: readiness says so, the key is gone.
            with contextlib.suppress(redis.RedisError):
                client.set(KEY, me, ex=COUNTS_FOR_SECONDS)
            stopped.wait(EVERY_SECONDS)
