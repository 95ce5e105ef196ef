from django.apps import AppConfig

from .form_messages import use_messages


class CoreConfig(AppConfig):
    name = "apps.core"

    def ready(self) -> None:
        use_messages()
