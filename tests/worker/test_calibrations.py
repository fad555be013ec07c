"""Laws of served calibrations: those that fit are told of, the default first; the others are left out and named."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.calibration import View
from model.calibration_files import save_calibration
from pictures.complexity import probe_lengths
from tests.worker.calibrated import COMPARED, calibrated, calibration
from tests.worker.conftest import CheckpointMaker
from worker.calibrations import QUANTILES
from worker.engine import Engine

Log = pytest.LogCaptureFixture


@pytest.fixture
def checkpoint(make_checkpoint: CheckpointMaker) -> Path:
    """The tiny checkpoint, with calibrations `a` and `default`."""
    folder = make_checkpoint()
    for name in ("a", "default"):
        save_calibration(calibration(started(folder), name), folder)
    return folder


def started(checkpoint: Path) -> Engine:
    """A worker's engine."""
    return Engine.start("tiny", str(checkpoint), "cpu")


def names(engine: Engine) -> list[str]:
    """The calibrations that the service is told of."""
    return [each.name for each in engine.facts().calibrations]


def test_the_calibrations_of_a_checkpoint_are_told_of_the_default_first(checkpoint: Path) -> None:
    assert names(started(checkpoint)) == ["default", "a"]


def test_a_checkpoint_without_a_calibration_tells_of_none(make_checkpoint: CheckpointMaker) -> None:
    assert names(started(make_checkpoint())) == []


def test_the_facts_of_a_calibration_are_its_own(engine: Engine) -> None:
    judged = calibrated(engine)
    (own,), (facts,) = judged.calibrations, judged.facts().calibrations
    assert (facts.n, facts.data, facts.digest) == (COMPARED, "noise", own.digest)


@pytest.mark.parametrize("view", View)
def test_a_calibration_is_told_of_view_by_view(view: View, engine: Engine) -> None:
    judged = calibrated(engine)
    (own,), (facts,) = judged.calibrations, judged.facts().calibrations
    scores, quantiles = own.references[view].scores, facts.score_quantiles[view]
    assert facts.thresholds[view] == own.references[view].thresholds()
    assert len(quantiles) == QUANTILES
    assert quantiles[::10] == tuple(scores.quantile(torch.tensor([0, 0.5, 1]).double()).tolist())
    assert list(quantiles) == sorted(quantiles)


def test_a_damaged_one_is_left_out_and_named_in_the_log(checkpoint: Path, caplog: Log) -> None:
    file = checkpoint / "calibration" / "default.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with caplog.at_level(logging.ERROR):
        assert names(started(checkpoint)) == ["a"]
    assert "default.safetensors is damaged" in caplog.text


def test_who_does_not_judge_loads_none_and_has_nothing_to_say_of_them(checkpoint: Path, caplog: Log) -> None:
    (checkpoint / "calibration" / "default.json").write_text("broken")
    engine = Engine.start("tiny", str(checkpoint), "cpu", judges=False)
    assert (engine.calibrations, engine.calibrations_left_out, caplog.text) == ((), (), "")


def test_one_for_other_weights_is_left_out_and_named_in_the_log(checkpoint: Path, caplog: Log) -> None:
    made = calibration(started(checkpoint), "old")
    save_calibration(replace(made, provenance=replace(made.provenance, weights_digest="e2" * 32)), checkpoint)
    assert names(started(checkpoint)) == ["default", "a"]
    assert "old.json: made for weights e2e2" in caplog.text


def recorded(checkpoint: Path, lengths: tuple[int, ...]) -> None:
    """Keep a calibration `a` that was made where the probes' PNGs had these lengths."""
    made = calibration(started(checkpoint), "a")
    provenance = replace(made.provenance, encoder="another", png_lengths=lengths)
    save_calibration(replace(made, provenance=provenance), checkpoint)


def differing(engine: Engine) -> list[str]:
    """The calibrations of which the service is told that they come from other lengths of PNGs."""
    return [each.name for each in engine.facts().calibrations if each.png_lengths_differ]


def test_one_made_where_pngs_have_other_lengths_is_served_and_warned_of_once(checkpoint: Path, caplog: Log) -> None:
    recorded(checkpoint, tuple(length + 1 for length in probe_lengths()))
    engine = started(checkpoint)
    assert (names(engine), differing(engine)) == (["default", "a"], ["a"])
    assert caplog.text.count("PNGs here have other lengths than where it was made (another;") == 1


def test_one_made_where_they_have_the_same_lengths_is_not_warned_of(checkpoint: Path, caplog: Log) -> None:
    recorded(checkpoint, probe_lengths())
    assert (differing(started(checkpoint)), caplog.text) == ([], "")


def test_one_that_does_not_say_is_served_without_a_warning(checkpoint: Path, caplog: Log) -> None:
    file = checkpoint / "calibration" / "a.json"
    body = json.loads(file.read_text())
    del body["png_lengths"], body["encoder"]
    file.write_text(json.dumps(body))
    engine = started(checkpoint)
    assert (names(engine), differing(engine), caplog.text) == (["default", "a"], [], "")


def test_one_of_other_features_is_left_out_and_named_in_the_log(checkpoint: Path, caplog: Log) -> None:
    file = checkpoint / "calibration" / "a.json"
    body = json.loads(file.read_text())
    body["views"]["given"]["features"][0] = "loudness"
    file.write_text(json.dumps(body))
    assert names(started(checkpoint)) == ["default"]
    assert "calibration a: view given has other features" in caplog.text


def test_a_calibration_judges_from_disk_as_when_it_was_made(checkpoint: Path) -> None:
    judged = started(checkpoint)
    made = calibration(judged)
    (kept,) = [each for each in judged.calibrations if each.name == "default"]
    for view, reference in made.references.items():
        assert torch.equal(kept.references[view].scores, reference.scores)


@pytest.mark.parametrize(
    ("there", "left_out", "judges"),
    [
        (("default", "other"), (), "default"),
        (("other",), (), "other"),
        (("a", "b"), (), None),
        (("other",), ("default",), None),
        (("default",), ("other",), "default"),
        ((), ("default",), None),
    ],
)
def test_unasked_the_default_judges_or_the_only_one_but_none_in_place_of_another(
    there: tuple[str, ...], left_out: tuple[str, ...], judges: str | None, engine: Engine
) -> None:
    (facts,) = calibrated(engine).facts().calibrations
    served = tuple(facts.model_copy(update={"name": name}) for name in there)
    told = engine.facts().model_copy(update={"calibrations": served, "calibrations_left_out": left_out})
    found = told.calibration(None)
    assert (found.name if found else None) == judges
