"""One step of training against the arithmetic on paper: loss, clipping, optimiser, average, and what ranks draw."""

from __future__ import annotations

import copy
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from segmentation.data.transforms import PreparedBatch, finish_batch
from segmentation.network.model import TwoStreamNetwork
from segmentation.training.batches import read_steps, seed_of
from segmentation.training.data_split import open_data
from segmentation.training.learner import Learner, Place
from segmentation.training.optimization import learning_rate_at, make_optimizer
from segmentation.training.recipes import RECIPES
from tests.segmentation.training_runs import settings_in

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of Adam and AdamW, as published and as torch has them by default."""
SIDE_PX = 32
Weights = dict[str, torch.Tensor]


def draw_batch(seed: int = 0, samples: int = 2) -> PreparedBatch:
    """Draw a batch of noise with a square as its object."""
    generator = torch.Generator().manual_seed(seed)
    image, colors = (
        torch.randint(0, 256, (samples, SIDE_PX, SIDE_PX, 3), generator=generator, dtype=torch.uint8) for _ in range(2)
    )
    mask = torch.zeros(samples, SIDE_PX, SIDE_PX, dtype=torch.uint8)
    mask[:, 4:20, 8:24] = 1
    return PreparedBatch(image, colors, mask, torch.ones(samples, 3), tuple(map(str, range(samples))))


def make_learner(folder: Path, place: Place | None = None, **changes: object) -> Learner:
    """Return a learner with the random weights of seed 0."""
    settings = settings_in(folder, **{"learning_rate": 1e-3, **changes})
    network = TwoStreamNetwork("mit-b0", initialization="random", side_px=SIDE_PX, seed=0)
    return Learner(network, settings.recipe, place or Place("cpu"), steps=settings.steps, seed=settings.seed)


def gradients_on_paper(learner: Learner, prepared: PreparedBatch, step: int) -> tuple[float, Weights]:
    """Return the loss and its gradients by autograd and torch's cross-entropy of two classes; learn nothing."""
    network = copy.deepcopy(learner.network).train()
    batch = finish_batch(prepared, "cpu")
    torch.manual_seed(seed_of(learner.seed, step, learner.place.rank, use=1))
    loss = F.cross_entropy(network(batch.image, batch.flow_rgb), batch.mask.long())
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()), {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def length_of(gradients: Weights) -> float:
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients.values()))


def weights_of(network: torch.nn.Module) -> Weights:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def check_step(learner: Learner, prepared: PreparedBatch, step: int, rate: float, scale: float, decay: float) -> None:
    """Do the first step of a learner, and compare it with Adam's, whose averages of gradients are zero before."""
    loss, gradients = gradients_on_paper(learner, prepared, step)
    before = weights_of(learner.network)
    found_loss = float(learner.learn(prepared, step)[0])
    assert found_loss == pytest.approx(loss, rel=1e-5)
    encoders, of_decoder = rate, rate * learner.recipe.decoder_factor
    found_rates = [group["lr"] for group in learner.optimizer.param_groups]
    assert found_rates == pytest.approx([encoders, encoders, of_decoder, of_decoder])
    for name, parameter in learner.network.named_parameters():
        rate = of_decoder if name.startswith("decoder.") else encoders
        gradient = gradients[name] * scale
        state = learner.optimizer.state[parameter]
        close = {"rtol": 1e-3, "atol": 1e-5 * float(gradient.abs().max()) + 1e-12}
        torch.testing.assert_close(state["exp_avg"], (1 - BETAS[0]) * gradient, **close)
        # Kingma & Ba, algorithm 1, first step: m / (1 - beta1) = g, v / (1 - beta2) = g^2.
        kept = (1 - rate * decay) if parameter.ndim > 1 else 1.0
        expected = before[name] * kept - rate * gradient / (gradient.abs() + EPSILON)
        is_clear = gradient.abs() > 1e3 * EPSILON  # smaller ones hang on the last bits of a sum
        torch.testing.assert_close(parameter.detach()[is_clear], expected[is_clear], rtol=1e-4, atol=rate * 1e-2)


def test_a_published_step_is_adam_without_clipping_or_decay(tmp_path: Path) -> None:
    learner = make_learner(tmp_path, preset="paper-stage2", learning_rate=None, samples_per_epoch=6)
    prepared = draw_batch()
    assert length_of(gradients_on_paper(learner, prepared, 0)[1]) > 1.1  # so that clipping would change it
    check_step(learner, prepared, step=0, rate=1e-5, scale=1.0, decay=0.0)
    assert learner.average is None


def test_a_modern_step_clips_decays_and_warms_up(tmp_path: Path) -> None:
    """20 epochs of three steps: a fifth of them warm up, in thirteenths of the peak, so that step 1 has two of them."""
    learner = make_learner(tmp_path, epochs=20)
    prepared = draw_batch()
    length = length_of(gradients_on_paper(learner, prepared, 1)[1])
    assert length > 1.1
    check_step(learner, prepared, step=1, rate=2e-3 / 13, scale=1 / length, decay=0.01)


def test_decay_moves_matrices_and_kernels_alone(tmp_path: Path) -> None:
    for preset, kind, decay in (("modern", torch.optim.AdamW, 0.01), ("paper-stage1", torch.optim.Adam, 0.0)):
        network = TwoStreamNetwork("mit-b0", initialization="random", side_px=SIDE_PX)
        optimizer = make_optimizer(network, RECIPES[preset])
        assert type(optimizer) is kind
        decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
        assert sum(len(group["params"]) for group in optimizer.param_groups) == len(decays)
        for name, parameter in network.named_parameters():
            is_vector = parameter.ndim <= 1 or name.endswith("bias")
            assert decays[id(parameter)] == (0.0 if is_vector else decay), name
        assert {group["lr"] for group in optimizer.param_groups} == {RECIPES[preset].learning_rate}


def test_the_table_of_learning_rates() -> None:
    """100 steps: five of them warm up in sixths of the peak, then half a cosine falls to a hundredth."""
    recipe = replace(RECIPES["modern"], learning_rate=6.0, warm_up_steps=5)
    rates = [learning_rate_at(recipe, step, 100) for step in range(100)]
    assert rates[:6] == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    # 47.5 steps of the 95 after the warm-up are half of the way.
    assert (rates[52] + rates[53]) / 2 == pytest.approx(6 * (1 + 0.01) / 2, rel=1e-4)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    last = math.cos(math.pi * 94 / 95)
    assert rates[99] == pytest.approx(6 * (0.01 + 0.99 * (1 + last) / 2))
    long = replace(recipe, warm_up_steps=1000)
    assert max(learning_rate_at(long, step, 1_000_000) for step in (998, 999)) < 6.0
    assert learning_rate_at(long, 1000, 1_000_000) == pytest.approx(6.0)
    assert learning_rate_at(long, 20, 100) == pytest.approx(6.0)  # the warm-up takes a fifth of a short training
    assert learning_rate_at(long, 19, 100) == pytest.approx(6.0 * 20 / 21)
    constant = RECIPES["paper-stage1"]
    assert {learning_rate_at(constant, step, 100) for step in (0, 1, 50, 99)} == {1e-5}


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    """Its share of the past after step s is 1 - s^(-3/4), never above the recipe's: 0 after the first, 0.41, 0.56."""
    learner = make_learner(tmp_path, epochs=20, learning_rate=1e-2)
    assert learner.average is not None
    expected: Weights = {}
    for step in range(3):
        learner.learn(draw_batch(step), step)
        share = 1 - (step + 1) ** -0.75
        now = weights_of(learner.network)
        expected = {name: share * expected.get(name, now[name]) + (1 - share) * now[name] for name in now}
        found = weights_of(learner.average.module)
        for name, values in expected.items():
            torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-6)
    late, before = 10**9, weights_of(learner.average.module)
    learner.average.update(learner.network, step=late)
    now, found = weights_of(learner.network), weights_of(learner.average.module)
    moved = {name: 0.999 * before[name] + 0.001 * now[name] for name in now}
    assert all(torch.allclose(found[name], moved[name], rtol=1e-5, atol=1e-8) for name in now)
    assert not torch.equal(found["decoder.stages.0.blend.weight"], now["decoder.stages.0.blend.weight"])
    assert learner.best_guess is learner.average.module


def test_ranks_draw_differently_and_repeatably(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, samples_per_epoch=8, batch_size=4)

    def batch_of(rank: int) -> PreparedBatch:
        mixture, _ = open_data(settings, rank, ranks=2)
        with closing(read_steps(mixture, settings.recipe, seed=settings.seed, side_px=settings.side_px)) as steps:
            return next(steps)

    one, other, again = batch_of(0), batch_of(1), batch_of(0)
    assert len(one.ids) == 2
    assert one.ids != other.ids
    assert not torch.equal(one.factors, other.factors)
    assert torch.equal(one.factors, again.factors)
    # Stochastic depth: the same samples give another loss on another rank, the same one on the same.
    losses = [float(make_learner(tmp_path, Place("cpu", rank=rank)).learn(draw_batch(), 0)[0]) for rank in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


def test_every_draw_has_a_seed_of_its_own() -> None:
    places = [(seed, step, rank, use) for seed in (0, 1) for step in (0, 1) for rank in (0, 1) for use in (0, 1)]
    assert len({seed_of(*place) for place in places}) == len(places)
    assert seed_of(0, 1, 2, use=0) == seed_of(0, 1, 2, use=0)


@pytest.mark.parametrize(
    ("batch", "steps", "rate"),
    [(16, 6400, 2e-4), (16, 64_000, 2e-4), (16, 1600, 4e-4), (4, 6400, 1e-4), (16, 64, 6e-4), (16, 10, 6e-4)],
)
def test_the_modern_rate_fits_batch_and_length(batch: int, steps: int, rate: float) -> None:
    """It grows with the square roots of the batch and of the lack of steps, the latter to three times at most."""
    recipe = replace(RECIPES["modern"], batch_size=batch, samples_per_epoch=batch * steps, epochs=1)
    assert recipe.with_fitted_rate().learning_rate == pytest.approx(rate)
    constant = replace(RECIPES["paper-stage1"], batch_size=batch, samples_per_epoch=batch * steps, epochs=1)
    assert constant.with_fitted_rate() == constant


def test_a_rate_that_was_asked_for_is_taken_as_it_is(tmp_path: Path) -> None:
    assert settings_in(tmp_path, learning_rate=7e-5).recipe.learning_rate == 7e-5
    assert settings_in(tmp_path, batch_size=2, epochs=2).recipe.learning_rate == pytest.approx(6e-4 * 8**-0.5)
