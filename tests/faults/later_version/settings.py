"""Settings of the later version, for its `manage.py upgrade`."""

from config.settings import *  # noqa: F403 (a settings module)
from config.settings import INSTALLED_APPS

INSTALLED_APPS += ["tests.faults.later_version"]
