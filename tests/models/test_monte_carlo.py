import numpy as np
import pytest
import torch

from models.ag_mtn import ag_mtn
from models.monte_carlo import Moments, Sampling, pass_generator, sample
from models.oar_unet import bladder_unet, femoral_head_unet, penile_bulb_unet, rectum_unet
from models.signed_distance import CLIP_MM

FACTORIES = {
    "Bladder": bladder_unet,
    "Rectum": rectum_unet,
    "Femur_Head_L": femoral_head_unet,
    "PenileBulb": penile_bulb_unet,
    "CTV": ag_mtn,
}


@pytest.fixture(params=FACTORIES, scope="module")
def network_and_input(request):
    torch.manual_seed(1)
    network = FACTORIES[request.param](width=8).eval()
    # An untrained head says 0.5 everywhere; a steeper one makes contours that differ from pass to pass.
    with torch.no_grad():
        network.head.weight.mul_(20)
    channels = 3 if request.param == "CTV" else 2
    return network, torch.randn(1, channels, 16, 24, 24)


def test_sharing_the_first_half_changes_nothing(network_and_input):
    network, x = network_and_input
    shared = sample(network, x, Sampling(passes=6), structure="S")
    whole = []
    with torch.inference_mode():
        for number in range(6):
            draws = [pass_generator(0, "S", number)]
            whole.append(network.stochastic_part(network.deterministic_part(x), draws)[0].numpy())
    assert np.abs(shared.mean - np.mean(whole, 0)).max() < 1e-4
    assert np.abs(shared.variance - np.var(whole, 0)).max() < 1e-4


def test_results_do_not_depend_on_the_batch(network_and_input):
    network, x = network_and_input
    one = sample(network, x, Sampling(passes=5, batch=1), structure="S")
    three = sample(network, x, Sampling(passes=5, batch=3), structure="S")
    assert np.abs(one.mean - three.mean).max() < 1e-5
    assert one.quality == pytest.approx(three.quality, abs=1e-3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(network_and_input):
    network, x = network_and_input
    first, again, other = (
        sample(network, x, Sampling(passes=3, seed=seed), structure="S") for seed in (4, 4, 5)
    )
    assert first.mean.tobytes() == again.mean.tobytes()
    assert first.mean.tobytes() != other.mean.tobytes()


def test_passes_differ(network_and_input):
    network, x = network_and_input
    assert sample(network, x, Sampling(passes=4), structure="S").variance.max() > 1e-6


def test_training_forward_and_passes_are_the_same_network(network_and_input):
    network, x = network_and_input
    with torch.inference_mode():
        output = network(x)
        logits = output if isinstance(output, torch.Tensor) else output.segmentation
        p = network.stochastic_part(network.deterministic_part(x))
    assert torch.allclose(torch.sigmoid(logits[:, 0]), p, atol=1e-5)


def test_one_pass_has_no_variance_and_full_quality(network_and_input):
    network, x = network_and_input
    only = sample(network, x, Sampling(passes=1), structure="S")
    assert not only.variance.any()
    assert only.quality in {0.0, 1.0}  # 0 only when nothing reached the level


def test_progress_counts_every_pass(network_and_input):
    network, x = network_and_input
    seen = []
    sample(network, x, Sampling(passes=4), structure="S", on_pass=seen.append)
    assert seen == [1, 2, 3, 4]


def test_moments_are_those_of_numpy():
    passes = torch.rand(9, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    moments = Moments()
    for p in passes:
        moments.add(p)
    mean, variance = moments.result()
    np.testing.assert_allclose(mean, passes.numpy().mean(0), atol=1e-6)
    np.testing.assert_allclose(variance, passes.numpy().var(0), atol=1e-6)


class TwoMasks(torch.nn.Module):
    """A network whose passes are known: odd passes are the left half, even passes everything."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def deterministic_part(self, x):
        return (x,)

    def stochastic_part(self, shared, draws=None):
        p = torch.ones(1, *shared[0].shape[2:])
        if self.number % 2:
            p[..., p.shape[-1] // 2 :] = 0
        self.number += 1
        return p


def test_quality_is_the_mean_dice_with_the_mean_contour():
    samples = sample(TwoMasks(), torch.zeros(1, 1, 2, 4, 8), Sampling(passes=2), structure="S")
    # The mean is 1 on the left, 0.5 on the right: everywhere at least 0.5, so the mean contour is everything.
    assert samples.quality == pytest.approx((1.0 + 2 / 3) / 2)


def test_an_impossible_number_of_passes_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Sampling(passes=0)


SPACING = (3.0, 1.5, 1.5)


def test_distances_do_not_change_what_the_passes_say(network_and_input):
    network, x = network_and_input
    plain = sample(network, x, Sampling(passes=3), structure="S")
    measured = sample(network, x, Sampling(passes=3), structure="S", spacing_zyx_mm=SPACING)
    assert plain.distance is None
    assert plain.mean.tobytes() == measured.mean.tobytes() and plain.quality == measured.quality


def test_distances_are_reproducible_and_do_not_depend_on_the_batch(network_and_input):
    network, x = network_and_input
    one, again, three = (
        sample(network, x, Sampling(passes=5, batch=b), structure="S", spacing_zyx_mm=SPACING)
        for b in (1, 1, 3)
    )
    assert one.distance.mean_mm.tobytes() == again.distance.mean_mm.tobytes()
    # rounding may tip a voxel over the level: not everywhere the same bits, but the same distances
    assert np.abs(one.distance.mean_mm - three.distance.mean_mm).mean() < 0.01
    assert np.abs(one.distance.std_mm - three.distance.std_mm).mean() < 0.01


class Balls(torch.nn.Module):
    """A network whose passes are balls of known radii, in turn; radius 0 is an empty pass."""

    def __init__(self, radii):
        super().__init__()
        self.radii, self.number = radii, 0

    def deterministic_part(self, x):
        return (x,)

    def stochastic_part(self, shared, draws=None):
        radius = self.radii[self.number % len(self.radii)]
        self.number += 1
        p = torch.sigmoid(radius - self.away(shared[0].shape[2:]))
        return (p if radius else torch.zeros_like(p))[None]

    @staticmethod
    def away(shape):
        axes = [(torch.arange(n) - n / 2 + 0.3) * s for n, s in zip(shape, SPACING, strict=True)]
        return torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0)


def test_moments_of_the_distance_are_those_of_the_passes_that_have_a_surface():
    x, radii = torch.zeros(1, 1, 24, 48, 48), [10.0, 0.0, 13.0, 16.0]
    samples = sample(Balls(radii), x, Sampling(passes=4), structure="S", spacing_zyx_mm=SPACING)
    away = Balls.away((24, 48, 48)).numpy()
    near = (away > 6) & (away < 22)
    assert samples.vanished == 0.25
    assert np.abs(samples.distance.mean_mm - (away - 13))[near].mean() < 0.1
    assert np.abs(samples.distance.std_mm - np.std([10, 13, 16]))[near].mean() < 0.1


def test_when_every_pass_is_empty_the_surface_is_far():
    x = torch.zeros(1, 1, 4, 8, 8)
    samples = sample(Balls([0.0]), x, Sampling(passes=2), structure="S", spacing_zyx_mm=SPACING)
    assert (samples.distance.mean_mm == CLIP_MM).all() and not samples.distance.std_mm.any()
