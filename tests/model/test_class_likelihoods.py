"""Owns the law of class likelihoods: batched, they are what each class gives by itself."""

from collections.abc import Callable

import pytest
import torch

from model import TarFlow
from model.class_likelihoods import class_log_probs, pair_log_probs


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_every_image_has_its_likelihood_under_every_class(make_flow: Callable[..., TarFlow], rows: int) -> None:
    flow = make_flow()
    images = torch.randn(rows, 2, 6, 6, dtype=torch.float64)
    looped = torch.stack([flow.log_prob(images, torch.full((rows,), label)) for label in range(3)], dim=1)
    torch.testing.assert_close(class_log_probs(flow, images), looped)


def test_a_pair_is_an_image_and_a_class(make_flow: Callable[..., TarFlow]) -> None:
    flow = make_flow()
    images = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    expected = flow.log_prob(images.flip(0), torch.tensor([1, 2]))
    torch.testing.assert_close(pair_log_probs(flow, images, torch.tensor([4, 2])), expected)
