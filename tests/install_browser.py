"""Find or install the browser that tests/browser/ plays: `python -m tests.install_browser`.

Playwright's own Chromium where its download works, else the system's.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

# Quiet and without the sandbox that containers do not allow.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_SYSTEM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_DOWNLOAD_SECONDS = 300


def launch(playwright: Playwright) -> Browser:
    """Start Playwright's own Chromium, or the system's where that does not start.

    Raises LookupError with the way out where neither starts.
    """
    for path in (None, *filter(None, map(shutil.which, _SYSTEM))):
        with suppress(Error):
            return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
    raise LookupError("No Chromium starts here: run `make browser`, or install Chromium.")


def main() -> None:
    """Install what is missing, or say what a person has to do."""
    for attempt in (_nothing, _playwright, _apt):
        attempt()
        if _is_there():
            return
    sys.exit(
        "The browser tests need Chromium, and neither Playwright's download nor apt-get "
        "brought it: install Chromium, then run this again."
    )


def _nothing() -> None:
    """The first attempt: it may be there already."""


def _playwright() -> None:
    with_libraries = ["--with-deps"] if _may_apt() else []
    _try([sys.executable, "-m", "playwright", "install", *with_libraries, "chromium"])


def _apt() -> None:
    if _may_apt():
        _try(["apt-get", "update"])
        _try(["apt-get", "install", "--yes", "--no-install-recommends", "chromium"])


def _may_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _try(command: list[str]) -> None:
    print("Installing a browser:", " ".join(command[-4:]), flush=True)
    try:
        subprocess.run(
            command,
            check=False,
            timeout=_DOWNLOAD_SECONDS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired:
        print("That took too long.", flush=True)


def _is_there() -> bool:
    try:
        with sync_playwright() as playwright:
            launch(playwright).close()
    except LookupError:
        return False
    return True


if __name__ == "__main__":
    main()
