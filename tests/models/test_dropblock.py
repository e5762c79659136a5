import pytest
import torch

from models.dropblock import DropBlock3d
from models.monte_carlo import pass_generator


def draws(*numbers):
    return [pass_generator(0, "Bladder", n) for n in numbers]


def test_the_dropped_share_is_the_one_asked_for():
    layer = DropBlock3d(0.85, block=3).eval()
    dropped = layer(torch.ones(1, 64, 16, 24, 24), draws(1)) == 0
    assert float(dropped.float().mean()) == pytest.approx(0.15, abs=0.02)


def test_what_is_dropped_are_cubes():
    layer = DropBlock3d(0.97, block=3).eval()
    dropped = layer(torch.ones(1, 8, 12, 16, 16), draws(2))[0] == 0
    cubes = torch.nn.functional.avg_pool3d(dropped[:, None].float(), 3, stride=1) > 0.999
    grown = torch.nn.functional.max_pool3d(torch.nn.functional.pad(cubes.float(), (2,) * 6), 3, stride=1)[
        :, 0
    ].bool()
    assert torch.equal(grown, dropped)


def test_the_mean_activation_is_kept_in_each_sample():
    layer = DropBlock3d(0.8).eval()
    kept = layer(torch.ones(3, 4, 10, 10, 10), draws(1, 2, 3))
    assert kept.mean((1, 2, 3, 4)).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


def test_a_sample_does_not_depend_on_its_batch():
    layer = DropBlock3d(0.85).eval()
    x = torch.rand(3, 4, 8, 8, 8)
    together = layer(x, draws(5, 6, 7))
    alone = torch.cat([layer(x[i : i + 1], draws(5 + i)) for i in range(3)])
    assert torch.equal(together, alone)


def test_eval_without_draws_drops_nothing_and_train_does():
    layer = DropBlock3d(0.5)
    x = torch.ones(1, 4, 8, 8, 8)
    assert torch.equal(layer.eval()(x), x)
    assert (layer.train()(x) == 0).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 3), (5, 2, 9)])
def test_tensors_thinner_than_the_block_are_fine(shape):
    out = DropBlock3d(0.6, block=3).eval()(torch.ones(1, 6, *shape), draws(0))
    assert torch.isfinite(out).all()
