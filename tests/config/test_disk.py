"""A disk that is full, or cannot be written for another reason."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from config.disk import PROBE_BYTES, database_problem, folder_problem, probe
from tests.disks import small_disk


@pytest.fixture(autouse=True)
def _ask_again() -> Iterator[None]:
    probe.forget()
    yield
    probe.forget()


def test_a_folder_with_room_is_no_problem(tmp_path: Path) -> None:
    assert folder_problem(tmp_path / "new") == ""
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert folder_problem(tmp_path / "file" / "x") == "DATA_DIR can't be written: Not a directory."


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * PROBE_BYTES) as disk:
        assert folder_problem(disk) == ""
        (disk / "filler").write_bytes(b"x" * (4 * PROBE_BYTES - 2 * os.sysconf("SC_PAGE_SIZE")))
        problem = folder_problem(disk)

    assert problem == "DATA_DIR can't be written: No space left on device."


@pytest.mark.django_db
def test_a_database_with_room_is_no_problem() -> None:
    assert database_problem() == ""


@pytest.mark.django_db
def test_not_ready_with_the_reason(client: Client, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.DATA_DIR = tmp_path / "file"

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["disk"] is False
    assert response.json()["reason"].startswith("DATA_DIR can't be written:")


@pytest.mark.django_db
def test_asks_the_disk_once_in_a_while(client: Client, settings: Settings, tmp_path: Path) -> None:
    assert client.get("/readyz").json()["disk"] is True
    (tmp_path / "file").touch()
    settings.DATA_DIR = tmp_path / "file"

    assert client.get("/readyz").json()["disk"] is True
