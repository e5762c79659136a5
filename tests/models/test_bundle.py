import json

import pytest
import torch
from safetensors.torch import save_file

from models.bundle import MANIFEST, BundleError, load_bundle
from models.recipes import SMALL
from models.training.bundling import make_bundle


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    for network in SMALL.networks:
        (tmp_path / "run" / network.name).mkdir(parents=True)
        save_file(network.build().state_dict(), tmp_path / "run" / network.name / "best.safetensors")
    make_bundle(SMALL, tmp_path / "run", tmp_path / "mine", version="9.9.9")
    return tmp_path / "mine"


def test_a_bundle_loads_what_was_trained(folder):
    bundle = load_bundle(folder)
    assert bundle.manifest.version == "9.9.9"
    assert set(bundle.networks) == {"CTV", "Bladder", "Rectum", "Femur_Head_L", "Femur_Head_R", "PenileBulb"}
    assert not any(network.training for network in bundle.networks.values())
    assert [layer.keep for layer in bundle.networks["Bladder"].dropblocks()] == [0.85, 0.90, 0.95]


def test_a_phantom_bundle_is_not_clinical_and_not_calibrated(folder):
    manifest = load_bundle(folder).manifest
    assert manifest.intended_use == "research-phantom"
    assert manifest.band("CTV") is None


def test_one_flipped_byte_is_noticed(folder):
    file = folder / "rectum.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match=r"Rectum.*hash differs"):
        load_bundle(folder)


def test_another_files_weights_are_noticed(folder):
    (folder / "rectum.safetensors").write_bytes((folder / "bladder.safetensors").read_bytes())
    with pytest.raises(BundleError, match="Rectum"):
        load_bundle(folder)


def test_a_missing_file_is_named(folder):
    (folder / "ctv.safetensors").unlink()
    with pytest.raises(BundleError, match=r"ctv\.safetensors are missing"):
        load_bundle(folder)


def test_a_network_that_is_left_out_is_named(folder):
    document = json.loads((folder / MANIFEST).read_text())
    del document["networks"]["PenileBulb"]
    (folder / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(BundleError, match="PenileBulb"):
        load_bundle(folder)


def test_a_path_in_the_manifest_leads_nowhere(folder):
    document = json.loads((folder / MANIFEST).read_text())
    document["networks"]["CTV"]["file"] = "../../etc/passwd"
    (folder / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(BundleError, match="missing"):
        load_bundle(folder)


def test_a_broken_manifest_is_a_sentence(folder):
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(BundleError, match="not a valid manifest"):
        load_bundle(folder)
