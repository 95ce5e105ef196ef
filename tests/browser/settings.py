"""Settings of a Debrief that a browser visits: HubSpot is the fake one."""

import os

from config.settings import *  # noqa: F403 (a settings module)

HUBSPOT_API_URL = os.environ["TEST_HUBSPOT_URL"]
