"""The calibrations a worker serves.

Owns the search for those of the loaded weights, and how they are described. Knows nothing of scores.
"""

import logging
from pathlib import PurePath

import torch

from model import CheckpointError
from model.calibration import Calibration
from model.calibration_files import calibration_names, check_fits, load_calibration
from model.checkpoint import find
from model.config import TarFlowConfig
from pictures.complexity import encoder, probe_lengths
from worker.contract import CalibrationFacts

QUANTILES = 21

log = logging.getLogger(__name__)


def find_calibrations(
    checkpoint: str, weights_digest: str, config: TarFlowConfig
) -> tuple[tuple[Calibration, ...], tuple[str, ...]]:
    """Those in the checkpoint's folder, the default first, and the names of those that cannot be used: see the log."""
    folder, served, left_out = find(checkpoint), [], []
    for name in calibration_names(folder):
        try:
            # Beside a forward pass they are small: the CPU judges.
            calibration = load_calibration(folder, name, weights_digest, "cpu")
            check_fits(calibration, config)
            if png_lengths_differ(calibration):
                log.warning("calibration %s: %s", name, _warning(calibration))
            served.append(calibration)
        except CheckpointError as error:
            log.error("calibration left out: %s", error)
            left_out.append(name)
    return tuple(served), tuple(left_out)


def png_lengths_differ(calibration: Calibration) -> bool:
    """Whether fixed pictures have PNGs of other lengths here than where it was made; no, where that is not recorded."""
    made_with = calibration.provenance.png_lengths
    return bool(made_with) and made_with != probe_lengths()


def _warning(calibration: Calibration) -> str:
    made_with = calibration.provenance.encoder or "not recorded"
    return (
        f"PNGs here have other lengths than where it was made ({made_with}; here {encoder()}): "
        "they are among the features, so verdicts shift; run `tarflow calibrate` again"
    )


def calibration_facts(calibration: Calibration) -> CalibrationFacts:
    """What the service needs to know of a calibration."""
    views, provenance = calibration.references.items(), calibration.provenance
    places = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    return CalibrationFacts(
        name=calibration.name,
        digest=calibration.digest,
        n=provenance.compared,
        created_at=provenance.created_at,
        data=PurePath(provenance.data).name,  # where it lay is nobody else's business
        thresholds={str(view): reference.thresholds() for view, reference in views},
        png_lengths_differ=png_lengths_differ(calibration),
        score_quantiles={str(view): tuple(each.scores.quantile(places).tolist()) for view, each in views},
    )
