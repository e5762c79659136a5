"""The image and the compose files, as far as they can be judged without a container engine.

`compose-spec.json` is the schema of the Compose Specification (github.com/compose-spec/compose-spec, Apache-2.0).
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from service.settings import ServiceSettings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMPOSE = ROOT / "docker-compose.yml"
OVERRIDES = sorted((ROOT / "deploy").glob("compose.*.yml"))
OURS = {"api", "listener", "reconciler", "worker", "delivery"}
FILLED_IN = {"REDIS_PASSWORD": "a1b2", "POSTGRES_PASSWORD": "c3d4", "API_TOKEN_FILE": "/etc/api_token"}
NOT_A_FIELD = {"PENUMBRA_CONFIG"}  # names the file that the settings are read from
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


def env_example() -> dict[str, str]:
    """`deploy/env.example` as Compose reads it."""
    lines = (ROOT / "deploy" / "env.example").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {name: value.strip("'") for name, value in pairs}


def interpolate(text: str, values: dict[str, str]) -> str:
    """Compose's ${NAME}, ${NAME:-default} and ${NAME:?message}; `$$` is a dollar."""

    def value(match: re.Match) -> str:
        name, operator, operand = match.groups()
        if values.get(name):
            return values[name]
        if operator == ":?":
            raise ValueError(f"required variable {name}: {operand}")
        return operand or ""

    return VARIABLE.sub(value, text).replace("$$", "$")


def interpolated(node: object, values: dict[str, str]) -> object:
    if isinstance(node, dict):
        return {key: interpolated(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value, values) for value in node]
    return interpolate(node, values) if isinstance(node, str) else node


@pytest.fixture(scope="module")
def compose() -> dict:
    """The compose file, with an `.env` that was filled in."""
    return interpolated(yaml.safe_load(COMPOSE.read_text()), env_example() | FILLED_IN)


@pytest.mark.parametrize("path", [COMPOSE, *OVERRIDES], ids=lambda path: path.name)
def test_compose_files_follow_the_specification(path) -> None:
    schema = json.loads((HERE / "compose-spec.json").read_text())
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(path.read_text())))
    assert not errors, "\n".join(f"{list(e.absolute_path)}: {e.message}" for e in errors)


def test_the_gpu_override_changes_only_services_that_exist(compose) -> None:
    override = yaml.safe_load((ROOT / "deploy" / "compose.gpu.yml").read_text())
    assert set(override["services"]) <= set(compose["services"])


def test_what_a_service_refers_to_is_defined(compose) -> None:
    for name, service in compose["services"].items():
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert volumes <= set(compose["volumes"]), name
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name
        assert set(service.get("networks", ())) <= set(compose["networks"]), name
        assert set(service.get("secrets", ())) <= set(compose["secrets"]), name
        for other, condition in service.get("depends_on", {}).items():
            assert condition["condition"] != "service_healthy" or "healthcheck" in compose["services"][other]


def test_all_our_parts_share_one_image_and_one_data_folder(compose) -> None:
    ours = {name: s for name, s in compose["services"].items() if s["image"].startswith("penumbra-rt")}
    assert set(ours) == OURS
    for service in ours.values():
        folder = service["environment"]["PENUMBRA_DATA_DIR"]
        assert f"data:{folder}" in service["volumes"]
    assert len({service["image"] for service in ours.values()}) == 1


@pytest.mark.parametrize("name", sorted(OURS))
def test_settings_accept_each_services_environment(compose, name, monkeypatch, tmp_path) -> None:
    service = compose["services"][name]
    environment = dict(service["environment"])
    for variable in [each for each in environment if each.endswith("_FILE")]:
        path = Path(environment.pop(variable))
        assert path.parent == Path("/run/secrets") and path.name in service["secrets"]
        (tmp_path / path.name).write_text("e5f6\n")
        monkeypatch.setenv(variable, str(tmp_path / path.name))
        assert ServiceSettings().api_token.get_secret_value() == "e5f6"
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = ServiceSettings()
    for variable, value in environment.items():
        field = variable.removeprefix("PENUMBRA_").lower()
        assert field in ServiceSettings.model_fields, f"{variable} sets nothing"
        assert field in settings.model_fields_set or value == "[]"
    assert settings.resolved_database_url == "postgresql+psycopg://penumbra:c3d4@postgres:5432/penumbra"
    assert settings.broker_url == "redis://:a1b2@redis:6379/0"
    assert [node.ae_title for node in settings.nodes] == ["TPS"]


def test_only_who_needs_the_token_has_it_and_no_environment_shows_it(compose) -> None:
    holders = {n for n in OURS if "api_token" in compose["services"][n].get("secrets", ())}
    assert holders == {"api"}
    for path in (COMPOSE, *OVERRIDES):
        assert not re.search(r"PENUMBRA_API_TOKEN(?!_FILE)", path.read_text()), path.name


def test_secrets_of_services_with_a_read_only_root_are_files(compose) -> None:
    """Compose copies other kinds into the container's root, and refuses to start one that is read-only."""
    for name, service in compose["services"].items():
        for secret in service.get("secrets", ()) if service.get("read_only") else ():
            assert set(compose["secrets"][secret]) == {"file"}, name


@pytest.mark.parametrize("name", ["api", "listener"])
def test_published_ports_are_those_that_are_listened_on(compose, name) -> None:
    service = compose["services"][name]
    key = "PENUMBRA_API_PORT" if name == "api" else "PENUMBRA_DICOM_PORT"
    (published,) = service["ports"]
    assert published.split(":")[-1] == service["environment"][key]
    assert published.split(":")[0] == "127.0.0.1", "opened to the network unless asked for"


def test_databases_are_not_published(compose) -> None:
    assert [n for n, s in compose["services"].items() if "ports" in s] == ["api", "listener"]


@pytest.mark.parametrize("name", [*FILLED_IN, "PENUMBRA_PEERS"])
def test_nothing_starts_without_a_secret(name) -> None:
    values = env_example() | FILLED_IN | {name: ""}
    with pytest.raises(ValueError, match=name):
        interpolated(yaml.safe_load(COMPOSE.read_text()), values)


def test_the_example_holds_no_secret_and_all_variables() -> None:
    example = env_example()
    assert {name: example[name] for name in FILLED_IN} == dict.fromkeys(FILLED_IN, "")
    used = {match[1] for match in VARIABLE.finditer(COMPOSE.read_text())}
    assert used == set(example)


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_command_is_one_of_the_command_line(compose, name, penumbra) -> None:
    done = penumbra(*compose["services"][name]["command"], "--help")
    assert done.exit_code == 0, done.output


def test_every_variable_named_for_operators_is_a_setting() -> None:
    files = [COMPOSE, ROOT / "Dockerfile", ROOT / "README.md"]
    files += [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    files += sorted((ROOT / "docs").rglob("*.md"))
    known = {f"PENUMBRA_{name.upper()}" for name in ServiceSettings.model_fields} | NOT_A_FIELD
    known |= {f"{name}_FILE" for name in known}  # `worker/secret_files.py`
    for path in files:
        named = set(re.findall(r"PENUMBRA_[A-Z_]+[A-Z]", path.read_text(errors="replace")))
        assert named <= known, path


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: (name, rest), continuation lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def test_the_image_runs_as_nobody_in_particular(instructions) -> None:
    users = [rest for name, rest in instructions if name == "USER"]
    assert users == ["10001:10001"]
    assert [name for name, _ in instructions].index("USER") > max(
        index for index, (name, _) in enumerate(instructions) if name in {"RUN", "COPY"}
    )


def test_the_image_starts_our_command_line(instructions) -> None:
    found = dict(instructions)
    assert json.loads(found["ENTRYPOINT"]) == ["penumbra"]
    assert json.loads(found["HEALTHCHECK"].partition("CMD ")[2])[1].endswith("healthcheck.py")
    assert [rest for name, rest in instructions if name == "FROM"] == [
        "python:3.11-slim AS build",
        "python:3.11-slim",
    ]


def test_what_the_image_copies_is_in_its_context(instructions) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name, rest in instructions:
        if name != "COPY" or "--from" in rest:
            continue
        for source in shlex.split(rest)[:-1]:
            assert (ROOT / source).exists(), source
            assert source.removeprefix("./") in kept, source


def test_the_health_check_is_unwell_where_nothing_runs() -> None:
    """It must tell a dead container from a live one: here no `penumbra` command of its own runs."""
    check = "import healthcheck; healthcheck.running_parts = set; raise SystemExit(healthcheck.main())"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT / "deploy", check=False)
    assert done.returncode == 1
