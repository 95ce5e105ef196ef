"""Secrets that an installation makes for itself and keeps in DATA_DIR for its owner only."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def kept_secret(path: Path, *, length: int = 50) -> str:
    """Return the secret in `path`, made on the first call. Several processes may call at once.

    `length` counts random bytes. Raises ImproperlyConfigured where the folder cannot be written.
    """
    try:
        if not path.exists():
            _create(path, secrets.token_urlsafe(length))
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"DATA_DIR {path.parent} cannot be written ({error.strerror}): "
            "name a writable folder in DATA_DIR."
        ) from error


def _create(path: Path, value: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
    try:
        # A hard link fails where another process was first: the first secret stands.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
