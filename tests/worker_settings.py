"""Settings of worker processes that fault tests start: the test run's own database."""

import os

from config.gateway import bodies, responses
from tests.settings import *  # noqa: F403 (a settings module)
from tests.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE_NAME"]
# So that a test of dead workers need not wait for the lease that real ones are given.
ANALYSIS_LEASE_SECONDS = float(os.environ["TEST_LEASE_SECONDS"])
CRM_LEASE_SECONDS = ANALYSIS_LEASE_SECONDS
BATCH_LEASE_SECONDS = ANALYSIS_LEASE_SECONDS
BATCH_POLL_SECONDS = 0.5
BATCH_REQUESTS = int(os.environ.get("TEST_BATCH_REQUESTS", "1000"))
# Nor make 50,000 conversations for each range of a long list.
FREEZE_BATCH = int(os.environ.get("TEST_FREEZE_BATCH", "50000"))
# Nor for the time that a deploy gives to responses.
STOP_GRACE_SECONDS = int(os.environ.get("TEST_STOP_GRACE_SECONDS", "45"))
# So that a test of a provider's outage need not wait for as long as a person would.
RECOVERY_SECONDS = float(os.environ.get("TEST_RECOVERY_SECONDS", "1"))
LIMIT_PATIENCE_SECONDS = float(os.environ.get("TEST_LIMIT_PATIENCE_SECONDS", "60"))
# Deliveries of a killed worker are taken over after twice this.
WEBHOOK_TIMEOUT_SECONDS = 2.0
WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
# Nor for a web process to give up on a client that sends nothing.
bodies.SILENCE_SECONDS = float(os.environ.get("TEST_SILENCE_SECONDS", bodies.SILENCE_SECONDS))
responses.STALL_SECONDS = float(os.environ.get("TEST_STALL_SECONDS", responses.STALL_SECONDS))
# Mails of workers leave the process only where a test has a server for them.
if port := os.environ.get("TEST_SMTP_PORT"):
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST, EMAIL_PORT = "127.0.0.1", int(port)
