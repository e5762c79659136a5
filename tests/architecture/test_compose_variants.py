"""What the further compose files make of the system: a GPU host, an Orthanc, monitoring."""

import json
import re
from pathlib import Path

import pytest
import yaml

from service.settings import ServiceSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
FURTHER = {"compose.monitoring.yml": {"prometheus", "grafana"}, "compose.orthanc.yml": {"orthanc"}}


def read(name: str) -> dict:
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.fixture(scope="module")
def base() -> dict:
    return yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())


@pytest.mark.parametrize("name", sorted(FURTHER))
def test_a_variant_adds_its_services_and_changes_only_ours(base, name) -> None:
    services = read(name)["services"]
    assert set(services) - set(base["services"]) == FURTHER[name]
    changed = {key for service in set(services) & set(base["services"]) for key in services[service]}
    assert changed <= {"environment"}


@pytest.mark.parametrize("name", sorted(FURTHER))
def test_added_services_hold_pinned_images_and_known_networks(base, name) -> None:
    document = read(name)
    for service in FURTHER[name]:
        about = document["services"][service]
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", about["image"])
        assert set(about["networks"]) <= set(base["networks"])
        assert "no-new-privileges:true" in about["security_opt"]
        assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in about.get("ports", ()))
        volumes = {volume.split(":")[0] for volume in about["volumes"]}
        assert all(v in document["volumes"] or (DEPLOY.parent / v).exists() for v in volumes)


def test_monitoring_mounts_what_its_configuration_names() -> None:
    services = read("compose.monitoring.yml")["services"]
    mounted = {volume.split(":")[1] for volume in services["prometheus"]["volumes"]}
    prometheus = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())
    assert set(prometheus["rule_files"]) <= mounted
    assert prometheus["scrape_configs"][0]["static_configs"][0]["targets"] == ["api:8080"]
    provider = DEPLOY / "monitoring" / "provisioning" / "dashboards" / "penumbra.yml"
    path = yaml.safe_load(provider.read_text())["providers"][0]["options"]["path"]
    assert path in {volume.split(":")[1] for volume in services["grafana"]["volumes"]}


def test_orthanc_and_penumbra_know_each_other(base) -> None:
    services = read("compose.orthanc.yml")["services"]
    title = services["orthanc"]["environment"]["ORTHANC__DICOM_AET"]
    (ours,) = json.loads(services["orthanc"]["environment"]["ORTHANC__DICOM_MODALITIES"]).values()
    assert ours == ["PENUMBRA", "listener", 11112]
    assert json.loads(services["listener"]["environment"]["PENUMBRA_ALLOWED_SENDERS"]) == [title]
    users = {
        name for name, each in base["services"].items() if "PENUMBRA_NODES" in each.get("environment", {})
    }
    for name in users:
        (node,) = json.loads(services[name]["environment"]["PENUMBRA_NODES"])
        assert (node["ae_title"], node["host"]) == (title, "orthanc")


def test_a_gpu_hosts_worker_is_that_of_the_first_host_with_a_gpu(base, monkeypatch) -> None:
    worker, first = read("compose.gpu-host.yml")["services"]["worker"], base["services"]["worker"]
    for key in ("command", "read_only", "init", "cap_drop", "security_opt", "stop_grace_period"):
        assert worker[key] == first[key], key
    assert worker["image"] == read("compose.gpu.yml")["services"]["worker"]["image"]
    for variable, value in worker["environment"].items():
        monkeypatch.setenv(variable, "redis://x" if "BROKER" in variable else value.partition(":?")[0])
    assert ServiceSettings().device == "cuda"
