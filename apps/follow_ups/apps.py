from django.apps import AppConfig


class FollowUpsConfig(AppConfig):
    name = "apps.follow_ups"
