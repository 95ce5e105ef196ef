"""Log lines, as text for people or as JSON for machines; one a line, always to the console."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

# What a LogRecord has by itself; anything else on it was given as `extra` by who logged.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "context", "ids",
}  # fmt: skip


class JsonFormatter(logging.Formatter):
    """A line of JSON: time, level, logger, message, IDs, extras, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "context", {})
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def logging_config(log_format: str) -> dict[str, Any]:
    """Return the LOGGING setting for `json` or `text`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s%(ids)s"},
            "json": {"()": "config.logs.JsonFormatter"},
        },
        "filters": {"ids": {"()": "apps.core.log_context.AddIds"}},
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": log_format,
                "filters": ["ids"],
            }
        },
        "root": {"handlers": ["console"], "level": "INFO"},
        "loggers": {
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            # A sweep every few seconds would fill the log with its own coming and going.
            "celery.beat": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            # One line for each request to a model, with its URL: the ledger knows better.
            "httpx2": {"level": "WARNING"},
            "openai": {"level": "WARNING"},
        },
    }
