"""Owns the laws of deciding on several images at once: Benjamini and Hochberg's, by their own example."""

import random
from itertools import pairwise

from worker.contract.score_answer import benjamini_hochberg

# The fifteen p-values of section 3.2 of Benjamini and Hochberg (1995), in order; at 0.05 four are named.
EXAMPLE = (
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0
)  # fmt: skip


def test_the_published_example_is_decided_as_published() -> None:
    assert benjamini_hochberg(EXAMPLE, 0.05) == [0, 1, 2, 3]


def test_images_are_named_by_their_places() -> None:
    assert benjamini_hochberg(EXAMPLE[::-1], 0.05) == [11, 12, 13, 14]


def test_one_that_misses_its_own_step_is_named_with_a_later_one_that_does_not() -> None:
    assert benjamini_hochberg([0.04, 0.05], 0.05) == [0, 1]


def test_none_is_named_where_no_step_is_reached() -> None:
    assert benjamini_hochberg([0.03, 0.9], 0.05) == []


def test_equal_p_values_at_alpha_are_all_named() -> None:
    for count in range(1, 65):
        assert benjamini_hochberg([0.1] * count, 0.1) == list(range(count))


def test_a_greater_alpha_names_no_fewer() -> None:
    p_values = [random.Random(0).random() ** 3 for _ in range(64)]
    named = [set(benjamini_hochberg(p_values, alpha)) for alpha in (0.001, 0.01, 0.1, 0.3, 0.5)]
    assert all(fewer <= more for fewer, more in pairwise(named))
