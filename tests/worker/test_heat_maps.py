"""Laws of heat maps: the heat is where the likelihood is low, and what is said under it is the verdict's."""

import io
from dataclasses import replace

import pytest
import torch
from PIL import Image

from model.calibration import Reference, View
from tests.pictures.seen import cell, redness
from tests.worker.calibrated import calibrated
from tests.worker.conftest import EngineMaker
from worker.contract import NO_CLASS, Direction, ImageScore, ScoreInput, ScoreRequest, Verdict
from worker.engine import Engine
from worker.heat_maps import LIMIT, caption, draw_heat_map

UNUSUAL = Verdict(
    anomaly_score=9.0, percentile=100.0, p_value=0.0123, is_anomaly=True, direction=Direction.UNUSUAL_LATENT
)
USUAL = Verdict(anomaly_score=1.0, percentile=40.0, p_value=0.61, is_anomaly=False)


def score(*patches: float | None, verdict: Verdict | None = None) -> ImageScore:
    """A score of an image of these patches."""
    known = None not in patches
    return ImageScore(
        log_likelihood_nats=-123.456 if known else None,
        bits_per_dim=2.5 if known else None,
        log_prior_nats=None,
        log_abs_det_nats=None,
        verdict=verdict,
        patch_log_likelihood_nats=patches,
    )


def wish(engine: Engine) -> ScoreRequest:
    """A request for a heat map at alpha 0.05."""
    images = (ScoreInput(sha256="0"),)
    fields = {"model": engine.name, "model_digest": engine.digest, "images": images}
    return ScoreRequest.model_validate({**fields, "class_index": NO_CLASS, "alpha": 0.05, "heat_map": True})


def reds(engine: Engine, found: ImageScore, usual: Reference | None = None) -> list[int]:
    """How red each of four patches is drawn."""
    channels = engine.flow.config.in_channels
    pixels = torch.full((channels, 8, 8), 100, dtype=torch.uint8)
    png = draw_heat_map(pixels, found, wish(engine), engine.facts(), usual)
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return [redness(cell(image, index, 2)) for index in range(4)]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("channels", [1, 3])
def test_without_a_calibration_the_least_likely_patch_is_the_reddest(
    make_engine: EngineMaker, place: int, channels: int
) -> None:
    patches = [-1.0] * 4
    patches[place] = -9.0
    found = reds(make_engine(in_channels=channels), score(*patches))
    assert [index for index, red in enumerate(found) if red == max(found)] == [place]


def test_with_a_calibration_heat_is_beside_what_is_usual_there(engine: Engine) -> None:
    usual = calibrated(engine).calibrations[0].references[View.NONE]
    patches = torch.tensor([-10.0, -20.0, -30.0, -40.0]).double()
    known = replace(usual, patch_means=patches, patch_stds=torch.ones(4).double())
    found = reds(engine, score(-10.0, -20.0 - LIMIT, -30.0 + LIMIT, -40.0 - LIMIT / 2), known)
    assert found[1] > found[3] > found[0] == 0 > found[2]


@pytest.mark.parametrize("with_calibration", [False, True])
def test_a_patch_without_a_number_is_the_reddest_and_the_others_are_still_told_apart(
    engine: Engine, with_calibration: bool
) -> None:
    usual = calibrated(engine).calibrations[0].references[View.NONE] if with_calibration else None
    low = 0.0 if usual is None else float(usual.patch_means[1] - 2 * usual.patch_stds[1])
    high = 9.0 if usual is None else float(usual.patch_means[2] + 2 * usual.patch_stds[2])
    found = reds(engine, score(None, low, high, None), usual)
    assert found[0] == found[3] >= found[1] > found[2]


def test_an_image_without_any_number_is_red_all_over(engine: Engine) -> None:
    assert min(reds(engine, score(None, None, None, None))) > 100


def test_patches_that_are_all_alike_are_not_coloured(engine: Engine) -> None:
    assert reds(engine, score(-2.0, -2.0, -2.0, -2.0)) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (UNUSUAL, ["anomaly at alpha 0.05: unusual latent; p = 0.012"]),
        (USUAL, ["usual at alpha 0.05; p = 0.61"]),
        (None, []),
    ],
)
def test_the_caption_says_the_likelihood_and_the_verdict(
    engine: Engine, verdict: Verdict | None, said: list[str]
) -> None:
    lines = list(caption(score(1.0, verdict=verdict), wish(engine)))
    assert lines == ["log p = -123.5 nats, 2.500 bits/dim", *said]


def test_the_caption_says_that_there_is_no_number(engine: Engine) -> None:
    assert list(caption(score(None), wish(engine))) == ["log p is not finite"]
