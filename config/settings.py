"""Settings, all from environment variables (the table in README.md), all with a default that works.

Nothing here talks to a service. A missing or wrong value raises ImproperlyConfigured with one
message, which `manage.py` prints as its only line.
"""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import django_stubs_ext
import environ
import sentry_sdk
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import sign_on
from config.embedded import paths
from config.logs import logging_config
from config.secret import kept_secret

# Allow the generic types that the type checker reads: `ModelAdmin[Agent]`, `QuerySet[Agent]`.
django_stubs_ext.monkeypatch()

env = environ.Env()


def _whole_number(name: str, *, default: int) -> int:
    text = env.str(name, default="") or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number above zero, not {text!r}.")
    return int(text)


BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.str("DATA_DIR", default="") or BASE_DIR / ".data").expanduser().resolve()

# Hosts and keys. Beyond loopback both must be named by whoever runs it (here and in `up`).

LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[]) or LOOPBACK_HOSTS
BEYOND_LOOPBACK = not set(ALLOWED_HOSTS) <= set(LOOPBACK_HOSTS)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
DEBUG = env.bool("DEBUG", default=False)

SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY and BEYOND_LOOPBACK:
    raise ImproperlyConfigured("SECRET_KEY must be set when ALLOWED_HOSTS reaches beyond loopback.")
if not SECRET_KEY:
    SECRET_KEY = kept_secret(DATA_DIR / "secret_key")
# Keys that were in use before: what they signed and encrypted can still be read.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])

# Beyond loopback means HTTPS, unless a trusted network without it is named as such.
PLAIN_HTTP = env.bool("PLAIN_HTTP", default=not BEYOND_LOOPBACK)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not PLAIN_HTTP
SECURE_SSL_REDIRECT = not PLAIN_HTTP
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 0 if PLAIN_HTTP else 365 * 24 * 3600
# For a whole domain, and for good, only where that was decided: it binds other hosts too.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"

CONTENT_SECURITY_POLICY: dict[str, dict[str, list[str]]] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        # A recording is played from wherever the voice platform keeps it.
        "media-src": [SELF, "https:", "http:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Proxies whose X-Forwarded-For is believed (apps/core/client_address.py), as addresses or networks.
TRUSTED_PROXIES = []
for _text in env.list("TRUSTED_PROXIES", default=[]):
    try:
        TRUSTED_PROXIES.append(ip_network(_text.strip(), strict=False))
    except ValueError as error:
        raise ImproperlyConfigured(
            f"TRUSTED_PROXIES takes addresses and networks, such as 10.0.0.0/8, not {_text!r}."
        ) from error

# The demo's login is for the machine that runs Debrief alone. Names beyond loopback, proxies, and
# origins that only a proxy can have, mean that others are to reach it; so does `up --bind`
# (programs.web).
DEMO_LOGIN = env.bool("DEMO_LOGIN", default=True) and not (
    BEYOND_LOOPBACK or CSRF_TRUSTED_ORIGINS or TRUSTED_PROXIES
)

# Applications

INSTALLED_APPS = [
    "config",
    "apps.core",
    "apps.accounts",
    "apps.llm",
    "apps.contacts",
    "apps.agents",
    "apps.conversations",
    "apps.webhooks",
    "apps.crm",
    "apps.follow_ups",
    "apps.alerts",
    "apps.mappings",
    "apps.analysis",
    "apps.runs",
    "apps.intake",
    "apps.platforms",
    "apps.insights",
    "apps.privacy",
    "apps.api",
    "apps.demo",
    "apps.accounts.admin_app.DebriefAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_filters",
    "django_htmx",
    "django_jsonform",
    "heroicons",
    "csp",
]

MIDDLEWARE = [
    "apps.core.log_context.RequestIds",
    "django.middleware.security.SecurityMiddleware",
    # Pads its answers at random, so that a page's length does not give away its CSRF token.
    "django.middleware.gzip.GZipMiddleware",
    "apps.core.middleware.ContentPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.core.middleware.NothingIsKept",
    "apps.api.middleware.ApiAnswers",
    "apps.api.middleware.UnreadBodies",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.core.middleware.NulIsNotFound",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["apps.core.compact.Loader", "django.template.loaders.app_directories.Loader"],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.accounts.context_processors.access",
                "apps.core.context_processors.notices",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
INSTALLED_APPS += ["django.forms"]  # lets templates/django/forms/ override a widget's markup

# People

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["apps.accounts.signin.Backend"]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "/"
CSRF_FAILURE_VIEW = "apps.accounts.views.session.csrf_failure"
LOGOUT_REDIRECT_URL = "accounts:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Single sign-on by OpenID Connect. Roles come from groups: "debrief-admins=admin,*=viewer".

OIDC_ISSUER = env.str("OIDC_ISSUER", default="")
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="")
OIDC_SCOPES = env.str("OIDC_SCOPES", default="") or "openid email profile"
OIDC_GROUPS_CLAIM = env.str("OIDC_GROUPS_CLAIM", default="") or "groups"
OIDC_LABEL = env.str("OIDC_LABEL", default="") or "single sign-on"
OIDC_SESSION_HOURS = _whole_number("OIDC_SESSION_HOURS", default=12)
OIDC_ONLY = env.bool("OIDC_ONLY", default=False)
OIDC_ROLES = sign_on.roles(env.list("OIDC_ROLES", default=[]))
sign_on.check(OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, roles=OIDC_ROLES, only=OIDC_ONLY)
# Signing out continues at the provider, which a form may lead to only where this names it.
CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"] += sign_on.origins(OIDC_ISSUER)

# PostgreSQL: the embedded one over its socket, or yours

EMBEDDED_DATABASE = not env.str("DATABASE_URL", default="")
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "debrief",
        "USER": "debrief",
        "HOST": str(paths.run_dir(DATA_DIR)),
    }
    if EMBEDDED_DATABASE
    else env.db_url("DATABASE_URL")
}
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL: postgres://user@host/database")
DATABASES["default"] |= {
    "ENGINE": "apps.core.postgresql",
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
    # A host that does not answer is an error after seconds, not after the system's minutes.
    "OPTIONS": {"connect_timeout": 5} | DATABASES["default"].get("OPTIONS", {}),
}

# Redis protocol: the embedded Valkey over its socket, or yours. REDIS_URL is for redis-py and the
# cache; kombu spells a socket differently.

EMBEDDED_BROKER = not env.str("REDIS_URL", default="")
REDIS_URL = f"unix://{paths.valkey_socket(DATA_DIR)}" if EMBEDDED_BROKER else env.str("REDIS_URL")
if urlsplit(REDIS_URL).scheme not in ("redis", "rediss", "unix"):
    raise ImproperlyConfigured("REDIS_URL must be redis://, rediss:// or unix://")
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1).replace(
    "?db=", "?virtual_host="
)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "debrief",
    }
}

# Threads of a web process that answer pages and small requests. Bodies have arrived by then: a
# thread is busy only while there is something to do (config/gateway).
WEB_THREADS = _whole_number("WEB_THREADS", default=min(16, 2 * (os.cpu_count() or 2) + 1))

# The largest body that a view reads at once: one transcript of 5,000,000 characters, each of them
# escaped. What each path accepts is in config/gateway/limits.py.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024 * 1024

# How long a page of a list waits for the count next to it; the exact one follows the page.
LIST_COUNT_SECONDS = 0.05

# Requests a minute that one API key may make, by the class of route (apps/api/limits.py);
# 0 is no limit. API_RATE_LIMITS names those that should be others: "read=1200,change=0".

API_RATE_LIMITS = {"read": 600, "change": 120, "intake": 30_000, "bulk": 120}
for _class, _number in env.dict("API_RATE_LIMITS", default={}).items():
    if _class not in API_RATE_LIMITS or not _number.isdecimal():
        raise ImproperlyConfigured(
            f"API_RATE_LIMITS takes {', '.join(API_RATE_LIMITS)} and whole numbers, "
            f"not {_class}={_number}."
        )
    API_RATE_LIMITS[_class] = int(_number)

# Models that read conversations

OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="")
BUNDLED_MODEL = not (OPENAI_API_KEY or OPENAI_BASE_URL)
BUNDLED_MODEL_NAME = "smollm2-135m-instruct"
BUNDLED_MODEL_CONTEXT = 8192  # tokens that one request to the bundled model may hold
BUNDLED_MODEL_URL = paths.bundled_model_url(DATA_DIR) if BUNDLED_MODEL else ""
DEFAULT_MODEL = env.str("DEFAULT_MODEL", default="") or (
    BUNDLED_MODEL_NAME if BUNDLED_MODEL else "gpt-4.1-mini"
)
# A call that a platform opened and never ended counts as ended after so long without a word of it.
CALL_SILENCE_HOURS = _whole_number("CALL_SILENCE_HOURS", default=24)
ANALYSIS_CONCURRENCY = _whole_number("ANALYSIS_CONCURRENCY", default=32)
# How long a worker that is told to stop waits for answers that are on their way and will cost.
# The bundled model charges nothing: its answers are asked for again.
STOP_GRACE_SECONDS = 3 if BUNDLED_MODEL else 45
# A worker that has not been heard of for so long is taken for dead, and its work is taken over.
ANALYSIS_LEASE_SECONDS = 20.0
# For how long a provider may answer every request with 429 before runs pause.
LIMIT_PATIENCE_SECONDS = 60.0
# For how long a provider may have no capacity for flex before runs pause, or pay the full price.
FLEX_PATIENCE_SECONDS = 120.0
# What waits for a provider is tried again after this, then after twice as long each time.
RECOVERY_SECONDS = 15.0
# Keys of a range of a run's list, and the longest list that is written in one transaction.
FREEZE_BATCH = 50_000
# Backfills in the economy lane: requests per batch, at most 50,000; the first pause before a look
# at one; and how long a worker may upload a file before another one takes its place.
BATCH_REQUESTS = 20_000
BATCH_POLL_SECONDS = 10.0
BATCH_LEASE_SECONDS = 600.0
WEBHOOK_TIMEOUT_SECONDS = 15.0
# Pushes to CRMs wait for the limits of a vendor, so that their worker is waited for longer.
CRM_LEASE_SECONDS = 60.0
#: Asked for a fresh address of a recording.
RETELL_API_URL = "https://api.retellai.com"
HUBSPOT_API_URL = "https://api.hubapi.com"
WEBHOOK_ALLOW_PRIVATE_ADDRESSES = env.bool("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", default=False)

# Time and language

USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", default="") or "UTC"
try:
    ZoneInfo(TIME_ZONE)
except (ZoneInfoNotFoundError, ValueError) as error:
    raise ImproperlyConfigured(
        f"TIME_ZONE must be a zone such as Europe/Berlin, not {TIME_ZONE!r}."
    ) from error
LANGUAGE_CODE = "en"
USE_I18N = False

# Static files: collected once by `make setup`, served by WhiteNoise

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / ".static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG

# Mail, errors, logs

globals().update(env.email_url("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 15  # seconds: a mail server that is down must not hold a thread
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="debrief@localhost")
SENTRY_DSN = env.str("SENTRY_DSN", default="")
LOG_FORMAT = env.str("LOG_FORMAT", default="") or "text"
if LOG_FORMAT not in ("json", "text"):
    raise ImproperlyConfigured(f"LOG_FORMAT must be json or text, not {LOG_FORMAT!r}.")
LOGGING = logging_config(LOG_FORMAT)
if SENTRY_DSN:
    # Transcripts and keys must not travel with an error: no bodies, no local variables, no people.
    sentry_sdk.init(
        dsn=SENTRY_DSN,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
    )
