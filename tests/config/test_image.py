"""The image is really built and its commands start, where a container engine is installed."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

pytestmark = pytest.mark.slow

COMMANDS = (["help", "run"], ["help", "upgrade"])
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
#: What a base needs: Python with venv, as `python`.
PACKAGES = "ca-certificates,python3,python3-venv,python-is-python3,tzdata"


def _engine() -> str | None:
    """Return docker or podman, whichever runs here."""
    for name in ("docker", "podman"):
        if shutil.which(name):
            asked = subprocess.run([name, "info"], capture_output=True, check=False, timeout=60)
            if asked.returncode == 0:
                return name
    return None


def test_the_image_is_built_and_its_commands_start() -> None:
    engine = _engine()
    if engine is None:
        pytest.skip("neither docker nor podman runs here")
    build = [engine, "build", "--file", "deploy/Containerfile", "--tag", "debrief-test", "."]
    subprocess.run(build, cwd=settings.BASE_DIR, check=True, timeout=1_800)
    alone = [engine, "run", "--rm", "--read-only", "--env", "SECRET_KEY=unused", "debrief-test"]
    for arguments in COMMANDS:
        subprocess.run([*alone, *arguments], check=True, timeout=120)


class Buildah:
    """Buildah with a storage of its own, which needs no daemon and no other namespaces."""

    def __init__(self, folder: Path) -> None:
        self.start = ["buildah", "--storage-driver", "vfs"]
        self.start += ["--root", str(folder / "storage"), "--runroot", str(folder / "run")]

    def __call__(self, command: str, *arguments: str) -> str:
        """Run a subcommand; return its output."""
        done = subprocess.run(
            [*self.start, command, *arguments],
            cwd=settings.BASE_DIR,
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=1_800,
        )
        return done.stdout.strip()


@pytest.fixture
def buildah(tmp_path: Path) -> Iterator[Buildah]:
    """Skips where it is not installed, or may not work."""
    if not (shutil.which("buildah") and shutil.which("mmdebstrap")) or os.geteuid() != 0:
        pytest.skip("needs root, buildah, and mmdebstrap: apt-get install buildah mmdebstrap")
    yield Buildah(tmp_path)
    shutil.rmtree(tmp_path / "storage")


def test_the_image_is_built_on_debian_without_a_registry(buildah: Buildah, tmp_path: Path) -> None:
    """As docs/deployment.md says, from Debian's packages alone."""
    base = tmp_path / "base.tar"
    make = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(base)]
    subprocess.run(make, check=True, capture_output=True, timeout=1_800)
    empty = buildah("from", "scratch")
    buildah("add", empty, str(base), "/")
    buildah("commit", "--rm", empty, "localhost/debrief-base")

    buildah(
        *("build", "--format", "docker", "--pull-never", "--network", "host"),
        *("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"),
        *("--build-arg", "BASE=localhost/debrief-base"),
        *("--file", "deploy/Containerfile", "--tag", "debrief-test", "."),
    )

    made = buildah("from", "localhost/debrief-test")
    for arguments in COMMANDS:
        shown = buildah(
            *("run", "--env", "SECRET_KEY=unused", made, "--", ".venv/bin/python", "manage.py"),
            *arguments,
        )
        assert shown.startswith(f"usage: manage.py {arguments[-1]}")
    assert buildah("run", made, "--", "id", "-u") == "10001"
    image = json.loads(buildah("inspect", "--type", "image", "localhost/debrief-test"))
    assert "config/healthcheck.py" in " ".join(image["Docker"]["config"]["Healthcheck"]["Test"])
