"""Apart from admin_site.py, because an AppConfig is loaded before any model."""

from django.contrib.admin.apps import AdminConfig


class DebriefAdminConfig(AdminConfig):
    """Named in INSTALLED_APPS instead of `django.contrib.admin`."""

    default_site = "apps.accounts.admin_site.DebriefAdminSite"
