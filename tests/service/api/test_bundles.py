"""Bundles are listed from their manifests; what does not declare itself clinical is marked everywhere."""

import json

import pytest

from service.settings import ServiceSettings

NOTICE = "NOT FOR CLINICAL USE"


@pytest.fixture
def install(tmp_path):
    def write(name: str, **manifest: object) -> None:
        folder = tmp_path / "bundles" / name
        folder.mkdir(parents=True)
        (folder / "bundle.json").write_text(json.dumps({"name": name} | manifest))

    return write


@pytest.fixture
def settings(tmp_path) -> ServiceSettings:
    return ServiceSettings(
        data_dir=tmp_path / "data", bundles_dir=tmp_path / "bundles", bundle="first", min_free_bytes=0
    )


def test_a_bundle_is_described_by_its_manifest(ask, install) -> None:
    networks = {"CTV": {}, "Bladder": {}}
    told = {"description": "D", "licence": "L", "training": {"cases": 2}, "bounds": "calibrated"}
    told |= {"calibration": {"cases": 60}, "quality_validated": ["Bladder"], "metrics": {"a": 1}}
    install("first", version="0.1", intended_use="research-phantom", networks=networks, **told)
    bundle = next(each for each in ask("GET", "/api/v1/bundles").json()["bundles"] if each["name"] == "first")
    assert len(bundle.pop("sha256")) == 64
    assert bundle == {
        "name": "first",
        "version": "0.1",
        "intended_use": "research-phantom",
        "notice": NOTICE,
        "networks": ["Bladder", "CTV"],
        "default": True,
        **told,
    }


@pytest.mark.parametrize("use", ["research-phantom", "other", None])
def test_a_job_of_a_bundle_that_is_not_clinical_carries_the_notice(ask, install, series_zip, use) -> None:
    install("first", intended_use=use)
    assert ask.upload(series_zip).json()["notice"] == NOTICE


def test_only_a_clinical_bundle_lifts_the_notice(ask, install, series_zip) -> None:
    install("first", intended_use="clinical")
    assert ask.upload(series_zip).json()["notice"] is None
    assert ask.upload(series_zip, bundle="unknown").json()["notice"] == NOTICE


def test_an_unreadable_manifest_is_left_out(ask, install, tmp_path) -> None:
    install("first")
    (tmp_path / "bundles" / "first" / "bundle.json").write_text("{")
    assert "first" not in [each["name"] for each in ask("GET", "/api/v1/bundles").json()["bundles"]]


def test_a_job_that_names_no_bundle_says_which_it_gets(ask, series_zip) -> None:
    assert ask.upload(series_zip).json()["bundle"] == "first"
