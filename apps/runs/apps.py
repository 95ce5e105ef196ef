from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "apps.runs"

    def ready(self) -> None:
        """An erased conversation's items lose their words and stay counted."""
        from apps.conversations.erasing import when_erased  # noqa: PLC0415 (models are ready now)

        from .erasing import forget  # noqa: PLC0415

        when_erased(forget)
