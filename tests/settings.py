"""Settings of a test run: everything embedded, in a folder of its own that goes with the run.

A server is chosen here and started by conftest.py. DATABASE_URL and REDIS_URL, where set, are used
as they are. Workers of pytest-xdist inherit DATA_DIR and so share the servers; each has its own
database (pytest-django) and its own number in the broker (below).
"""

import os
import tempfile

os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 50)
if "DEBRIEF_TEST_DATA_DIR" not in os.environ:
    os.environ["DEBRIEF_TEST_DATA_DIR"] = tempfile.mkdtemp(prefix="debrief-tests-")
os.environ["DATA_DIR"] = os.environ["DEBRIEF_TEST_DATA_DIR"]
for _name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DEFAULT_MODEL", "ALLOWED_HOSTS", "DEBUG"):
    os.environ.pop(_name, None)  # a developer's own keys never reach a test

from config.settings import *  # noqa: E402, F403 (after the environment is set)
from config.settings import CACHES, CELERY_BROKER_URL, REDIS_URL  # noqa: E402

_number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1")[2:]) + 1
if REDIS_URL.startswith("unix://"):
    REDIS_URL = f"{REDIS_URL}?db={_number}"
    CELERY_BROKER_URL = f"{CELERY_BROKER_URL}?virtual_host={_number}"
    CACHES["default"]["LOCATION"] = REDIS_URL

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Each test client loads the middleware anew: it must not walk all static files each time.
WHITENOISE_AUTOREFRESH = True
LIST_COUNT_SECONDS = 30.0  # counts don't depend on the speed of the machine
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
