"""A GPU says what the CPU says. Run with `make test-gpu` where there is one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.ag_mtn import ag_mtn
from models.bundle import load_bundle
from models.monte_carlo import Sampling, sample
from models.oar_unet import bladder_unet, femoral_head_unet, penile_bulb_unet, rectum_unet
from models.recipes import SMALL
from models.signed_distance import signed_distance
from models.training.cohort import Cohort
from models.training.loop import train_network
from worker.bundle_info import bundle_folder

pytestmark = pytest.mark.gpu

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SPACING = (3.0, 1.5, 1.5)
FACTORIES = [bladder_unet, rectum_unet, femoral_head_unet, penile_bulb_unet, ag_mtn]


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
@pytest.mark.parametrize("placement", ["bottleneck", "everywhere"])
def test_the_same_passes(factory, placement):
    """The same blocks drop on both: what differs is rounding (a GPU's convolutions use TF32)."""
    torch.manual_seed(1)
    network = factory(width=8, placement=placement).eval()
    with torch.no_grad():
        network.head.weight.mul_(20)
    x = torch.randn(1, 3 if factory is ag_mtn else 2, 16, 24, 24)
    on_cpu = sample(network, x, Sampling(passes=5), structure="S", spacing_zyx_mm=SPACING)
    network.to(GPU)
    for batch in (1, 3):
        there = sample(
            network, x.to(GPU), Sampling(passes=5, batch=batch), structure="S", spacing_zyx_mm=SPACING
        )
        assert np.abs(there.mean - on_cpu.mean).mean() < 5e-3
        assert np.abs(there.variance - on_cpu.variance).mean() < 5e-3
        assert there.quality == pytest.approx(on_cpu.quality, abs=0.02)
        assert there.vanished == on_cpu.vanished


def test_the_shipped_networks_draw_the_same_structures():
    """Every network of the bundle, on a VOI of its own size."""
    folder = bundle_folder(None)
    here, there = load_bundle(folder, device=CPU), load_bundle(folder, device=GPU)
    for name, spec in here.manifest.networks.items():
        if name not in here.networks:
            continue
        z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in spec.voi_size_zyx)]
        ball = torch.from_numpy(np.where(z**2 + y**2 + x**2 < 0.2, 0.1, -0.6).astype(np.float32))
        voi = ball.expand(1, 3 if name == "CTV" else 2, -1, -1, -1)
        sampling = Sampling(passes=3)
        a = sample(here.networks[name], voi, sampling, structure=name)
        b = sample(there.networks[name], voi.to(GPU), replace(sampling, batch=3), structure=name)
        assert np.abs(a.mean - b.mean).max() < 0.05, name
        assert np.abs(a.mean - b.mean).mean() < 1e-3, name


def test_the_same_distances():
    z, y, x = np.ogrid[:30, :60, :60]
    radius = np.sqrt(((z - 15) * 3.0) ** 2 + ((y - 30) * 1.5) ** 2 + ((x - 28) * 1.5) ** 2)
    p = torch.from_numpy((1 / (1 + np.exp(radius - 20))).astype(np.float32))
    here, there = signed_distance(p, 0.5, SPACING), signed_distance(p.to(GPU), 0.5, SPACING)
    assert torch.abs(here - there.cpu()).max() < 1e-3


def test_it_learns_and_goes_on_where_it_stopped(tmp_path, save_sphere):
    bulb = next(n for n in SMALL.networks if n.name == "PenileBulb")
    paths = [save_sphere(tmp_path / f"{index}.npz", index) for index in range(3)]
    cohort = Cohort(training=tuple(paths[:2]), validation=tuple(paths[2:]))
    recipe = replace(
        bulb, width=8, levels=3, voi_size_zyx=(16, 32, 32), spacing_zyx_mm=SPACING, steps=120, epoch_steps=40
    )

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.step == 40:
            raise Stopped

    with pytest.raises(Stopped):
        train_network(recipe, cohort, tmp_path / "run", seed=0, device=GPU, report=stop)
    progress = train_network(recipe, cohort, tmp_path / "run", seed=0, device=GPU)
    assert [row["step"] for row in progress.history] == [40, 80, 120]
    first, *_, last = [row["loss"] for row in progress.history]
    assert last < first - 0.15
