"""Settings of worker processes that fault tests start: the test run's own database."""

import os

from tests.settings import *  # noqa: F403 (a settings module)
from tests.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["TEST_DATABASE_NAME"]
# So that a test of dead workers need not wait for the lease that real ones are given.
ANALYSIS_LEASE_SECONDS = float(os.environ["TEST_LEASE_SECONDS"])
# Deliveries of a killed worker are taken over after twice this.
WEBHOOK_TIMEOUT_SECONDS = 2.0
WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
