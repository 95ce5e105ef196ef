"""Where the embedded parts keep their things, as a function of DATA_DIR alone.

Settings, the supervisor and any other command compute the same paths, so a second shell finds
the services that `manage.py up` started without asking anybody.
"""

import hashlib
import os
import tempfile
from pathlib import Path

# A Unix socket's address holds 107 bytes on Linux and 103 on macOS, with the longest name of ours.
_LONGEST_SOCKET = 100
_LONGEST_NAME = len("/.s.PGSQL.5432.lock")


def run_dir(data_dir: Path) -> Path:
    """Return the folder of sockets: inside `data_dir`, or in /tmp where that path is too long."""
    inside = data_dir / "run"
    if len(os.fsencode(inside)) + _LONGEST_NAME <= _LONGEST_SOCKET:
        return inside
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"debrief-{os.getuid()}-{name}"


def valkey_socket(data_dir: Path) -> Path:
    """Return the socket that the embedded Valkey listens on."""
    return run_dir(data_dir) / "valkey.sock"


def model_address(data_dir: Path) -> Path:
    """Return the file that holds the base URL of the bundled model's server."""
    return data_dir / "model.url"


def bundled_model_url(data_dir: Path) -> str:
    """Base URL of the bundled model, as its server last wrote it; empty before its first start."""
    try:
        return model_address(data_dir).read_text().strip()
    except FileNotFoundError:
        return ""
