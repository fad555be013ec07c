"""Owns the laws of features: one name for each column, always finite, the same in any batch."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import TarFlow
from model.anatomy import Anatomy, dissect
from model.features import CLASS_NAMES, class_features, feature_names, image_features

FlowMaker = Callable[..., TarFlow]
KINDS = [
    {},
    {"num_classes": 0},
    {"volume_preserving": True},
    {"image_size": 4, "patch_size": 2, "blocks": 1},
    {"in_channels": 3, "blocks": 3},
]
NO_NUMBERS = [math.nan, math.inf, -math.inf]


def anatomy_of(flow: TarFlow, rows: int = 3) -> Anatomy:
    """The anatomy of standard normal images."""
    config = flow.config
    images = torch.randn(rows, config.in_channels, config.image_size, config.image_size, dtype=torch.float64)
    return dissect(flow, images)


def named(flow: TarFlow, anatomy: Anatomy) -> dict[str, Tensor]:
    """The features of images without complexity, by name."""
    columns = image_features(anatomy, torch.zeros(len(anatomy.latents))).T
    return dict(zip(feature_names(flow.config, with_classes=False), columns, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_has_a_name(make_flow: FlowMaker, kind: dict[str, int]) -> None:
    flow = make_flow(**kind)
    names = feature_names(flow.config, with_classes=False)
    assert image_features(anatomy_of(flow), torch.zeros(3)).shape == (3, len(set(names))) == (3, len(names))


def test_every_column_of_the_classes_has_a_name(make_flow: FlowMaker) -> None:
    config = make_flow().config
    assert feature_names(config, with_classes=True) == (*feature_names(config, with_classes=False), *CLASS_NAMES)
    assert class_features(torch.randn(3, 4), torch.randn(3)).shape == (3, len(CLASS_NAMES))


def test_a_name_stands_for_what_it_says(make_flow: FlowMaker) -> None:
    flow = make_flow()
    anatomy = anatomy_of(flow)
    found = named(flow, anatomy)
    torch.testing.assert_close(found["log_likelihood"], anatomy.log_prob)
    torch.testing.assert_close(found["log_abs_det_block_1"], anatomy.log_abs_dets[:, 1].sum(dim=1))
    torch.testing.assert_close(found["patch_quantile_0.5"], anatomy.patch_log_prob.median(dim=1).values)
    torch.testing.assert_close(found["latent_max_abs"], anatomy.latents.flatten(1).abs().amax(dim=1))


def test_complexity_is_passed_on(make_flow: FlowMaker) -> None:
    flow = make_flow()
    place = feature_names(flow.config, with_classes=False).index("complexity_bits_per_dim")
    assert image_features(anatomy_of(flow), torch.tensor([1.0, 2.0, 3.0]))[:, place].tolist() == [1, 2, 3]


@pytest.mark.parametrize("part", ["latents", "log_prior", "log_abs_dets", "energies"])
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_the_features_of_any_anatomy_are_finite(make_flow: FlowMaker, part: str, value: float) -> None:
    anatomy = anatomy_of(make_flow())
    getattr(anatomy, part).flatten(1)[0, 0] = value
    assert image_features(anatomy, torch.zeros(3)).isfinite().all()


def test_the_features_of_a_blank_image_are_finite(make_flow: FlowMaker) -> None:
    flow = make_flow()
    assert image_features(dissect(flow, torch.zeros(1, 2, 6, 6, dtype=torch.float64)), torch.zeros(1)).isfinite().all()


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("everywhere", [False, True])
def test_the_features_of_any_classes_are_finite(value: float, everywhere: bool) -> None:
    log_probs = torch.zeros(1, 3)
    log_probs[0, : 3 if everywhere else 1] = value
    assert class_features(log_probs, torch.tensor([value])).isfinite().all()


def test_the_only_class_has_no_lead() -> None:
    found = class_features(torch.tensor([[-7.0], [7.0]]), torch.zeros(2))
    assert found[:, CLASS_NAMES.index("log_lead_of_best_class")].tolist() == [0, 0]


def test_the_features_of_the_classes_are_known_by_hand() -> None:
    found = class_features(torch.tensor([[1.0, 4.0, 1.0]]), torch.tensor([2.0]))[0].tolist()
    marginal = math.log(2 * math.e + math.exp(4)) - 2
    assert found == pytest.approx([marginal, 2.0, math.log(4.0), 2.0, math.sqrt(2.0)])


def test_the_order_of_the_classes_does_not_matter() -> None:
    log_probs, log_prob = torch.randn(5, 4), torch.randn(5)
    torch.testing.assert_close(class_features(log_probs.flip(1), log_prob), class_features(log_probs, log_prob))


@pytest.mark.parametrize("place", [0, 31, 63])
def test_an_image_has_its_features_alone_and_in_a_batch(make_flow: FlowMaker, place: int) -> None:
    flow = make_flow().float()
    images = torch.randn(64, 2, 6, 6)
    among = image_features(dissect(flow, images), torch.zeros(64))[place]
    (alone,) = image_features(dissect(flow, images[place : place + 1]), torch.zeros(1))
    torch.testing.assert_close(among, alone, rtol=1e-4, atol=1e-4 * flow.config.dims)
