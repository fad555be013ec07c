"""The law of the published shape's table: each of its commands runs and says what it took, as a toy shows."""

import json
from pathlib import Path

from benchmarks.published import Cost, import_cost, picture_cost, score_cost

TOY = Path(__file__).parents[1] / "golden" / "conditional.pth"


def test_a_file_is_imported_makes_a_picture_and_scores_it(tmp_path: Path) -> None:
    checkpoint, picture = tmp_path / "toy", tmp_path / "two.png"
    imported = import_cost(TOY, checkpoint, "--noise-std", "0.05")
    made = picture_cost(checkpoint, "2", picture, "--guidance", "0", "--no-denoise")
    scored = score_cost(checkpoint, "2", picture)
    assert json.loads(made.output)["class_index"] == 2
    (result,) = json.loads(scored.output)["results"]
    assert result["log_likelihood_nats"] is not None
    for cost in (imported, made, scored):
        assert_measured(cost)


def assert_measured(cost: Cost) -> None:
    """Its time and its memory, which torch alone makes more than 50 MiB."""
    assert min(cost.seconds, cost.cpu_seconds) > 0
    assert cost.peak_mib > 50
