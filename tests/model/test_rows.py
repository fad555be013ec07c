"""Owns the laws of a batch's rows: who has a null row, that rows stay with theirs, and how two become one."""

import pytest
import torch
from torch import Tensor

from model.guidance import Guidance, Rule
from model.rows import Rows
from tests.model.by_prefix import Asked

LABELS = torch.tensor([4, -1, 3, -1, 2, 1])
ASKED = Asked.of([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], LABELS, [0.5, 1.0, 0.8, 0.7, 1.0, 1.0], rows=6)
INDEXES = [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 4], [3], [0, 1], [5, 2, 2], []]

Prediction = tuple[Tensor, Tensor]


def facts(rows: Rows) -> list[tuple[object, ...]]:
    """For each request row: label and weight, and its null row's label and sharpness, None where it has none."""
    labels = torch.full((len(rows),), -1) if rows.labels is None else rows.labels
    sharpness = torch.ones(len(rows)) if rows.query_scale is None else rows.query_scale.flatten()
    null_rows: list[int] = rows.null_rows().tolist()
    return [
        (
            labels[row].item(),
            sharpness[row].item(),
            rows.guidance.weight[row].item(),
            None if null < 0 else (labels[null].item(), sharpness[null].item()),
        )
        for row, null in enumerate(null_rows)
    ]


def prediction(rows: int, patches: int = 5) -> Prediction:
    """A log-scale and a shift of each value."""
    log_scale, shift = torch.randn(2, rows, patches, 8, dtype=torch.float64)
    return log_scale, shift


def test_only_rows_that_guidance_can_move_have_a_null_row() -> None:
    assert ASKED.rows().guided.tolist() == [2, 3, 4, 5]


def test_without_classes_only_a_blurred_row_of_some_weight_has_a_null_row() -> None:
    assert ASKED.without_class().rows().guided.tolist() == [2, 3]


def test_a_null_row_has_no_class_and_its_rows_temperature() -> None:
    assert facts(ASKED.rows()) == [
        (4, 1.0, 0.0, None),
        (-1, 1.0, 1.0, None),
        (3, 1.0, 2.0, (-1, 1 / 0.8)),
        (-1, 1.0, 3.0, (-1, 1 / 0.7)),
        (2, 1.0, 4.0, (-1, 1.0)),
        (1, 1.0, 5.0, (-1, 1.0)),
    ]


def test_rows_are_counted_with_and_without_the_null_ones() -> None:
    rows = ASKED.rows()
    assert (rows.requests, len(rows)) == (6, 10)


@pytest.mark.parametrize("asked", [Asked.of(labels=None), Asked.of(0.0, temperature=0.5), Asked.of()])
def test_attention_is_left_alone_where_no_null_row_is_blurred(asked: Asked) -> None:
    assert asked.rows().query_scale is None


def test_plain_rows_have_neither_class_nor_null_row() -> None:
    rows = Rows.plain(torch.zeros(3, 5, 8))
    assert (rows.labels, rows.query_scale, rows.requests, len(rows)) == (None, None, 3, 3)
    assert rows.guidance.weight.tolist() == [0, 0, 0]


@pytest.mark.parametrize("index", INDEXES, ids=str)
@pytest.mark.parametrize("asked", [ASKED, ASKED.without_class()], ids=["classes", "no classes"])
def test_selecting_rows_keeps_each_with_its_own_null_row(index: list[int], asked: Asked) -> None:
    rows = asked.rows()
    selected = rows.select(torch.tensor(index, dtype=torch.int64))
    assert facts(selected) == [facts(rows)[row] for row in index]


@pytest.mark.parametrize("index", INDEXES, ids=str)
def test_selecting_rows_leaves_no_null_row_without_its_request(index: list[int]) -> None:
    selected = ASKED.rows().select(torch.tensor(index, dtype=torch.int64))
    assert sorted(row for row in selected.null_rows().tolist() if row >= 0) == list(range(len(index), len(selected)))


def test_selecting_rows_keeps_the_rule() -> None:
    rows = Asked.of(annealed=True, rule="corrected", guide=("shift",)).rows()
    guidance = rows.select(torch.tensor([2, 0])).guidance
    assert (guidance.annealed, guidance.rule, guidance.guide) == (True, "corrected", ("shift",))


def test_a_selection_of_a_selection_is_the_selection_of_both() -> None:
    rows, first, second = ASKED.rows(), torch.tensor([5, 3, 1, 2]), torch.tensor([3, 1])
    assert facts(rows.select(first).select(second)) == facts(rows.select(first[second]))


@pytest.mark.parametrize("asked", [ASKED, Asked.of(0.0, LABELS, rows=6)], ids=["guided", "plain"])
def test_a_null_row_sees_the_patches_of_its_request(asked: Asked) -> None:
    rows = asked.rows()
    spread = rows.spread(torch.arange(6).view(6, 1, 1).expand(6, 5, 8))
    assert spread[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, *rows.guided.tolist()]


@pytest.mark.parametrize("rule", ["linear", "corrected"])
@pytest.mark.parametrize("annealed", [False, True])
def test_folding_combines_each_request_with_its_own_null_row(rule: Rule, annealed: bool) -> None:
    asked = Asked.of(ASKED.guidance.weight.tolist(), LABELS, 0.5, 6, rule=rule, annealed=annealed)
    rows, conditional, null = asked.rows(), prediction(6), prediction(6)
    assert rows.guided.tolist() == [1, 2, 3, 4, 5]
    seen = tuple(torch.cat([mine, other[rows.guided]]) for mine, other in zip(conditional, null, strict=True))
    progress = torch.linspace(0.2, 1.0, 5, dtype=torch.float64).unsqueeze(1)
    folded = rows.fold(seen[0], seen[1], progress)
    torch.testing.assert_close(folded, asked.guidance.combine(conditional, null, progress))


@pytest.mark.parametrize("rule", ["linear", "corrected"])
def test_folding_leaves_rows_without_a_null_row_as_they_were(rule: Rule) -> None:
    rows = Asked.of([0.0, 1.0, 2.0, 0.0], torch.tensor([1, -1, 2, -1]), rule=rule).rows()
    assert rows.guided.tolist() == [2]
    log_scale, shift = prediction(5)
    folded = rows.fold(log_scale, shift, 1.0)
    for before, after in zip((log_scale, shift), folded, strict=True):
        torch.testing.assert_close(after[[0, 1, 3]], before[[0, 1, 3]])
        assert (after[2] != before[2]).any()


def test_folding_rows_of_a_batch_without_guidance_gives_what_was_predicted() -> None:
    rows = Rows.arrange(None, Guidance(torch.ones(4)), torch.ones(4))
    predicted = prediction(4)
    assert rows.fold(*predicted, 1.0) == predicted


def test_folding_leaves_what_was_predicted_as_it_was() -> None:
    rows, predicted = ASKED.rows(), prediction(10)
    before = [part.clone() for part in predicted]
    rows.fold(*predicted, 1.0)
    assert all(torch.equal(*pair) for pair in zip(predicted, before, strict=True))
