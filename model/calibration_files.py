"""Calibrations on disk: `calibration/<name>.json` and `.safetensors` in a checkpoint's folder.

Owns the format, its strict loading and the search by name. Knows nothing of how they are made or used.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.calibration import DEFAULT_NAME, Calibration, Mixture, Provenance, Reference, View
from model.config import TarFlowConfig
from model.errors import CheckpointError
from model.features import feature_names

FOLDER = "calibration"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MIXTURE_TENSORS = ("centre", "scale", "log_weights", "means", "factors")
REFERENCE_TENSORS = ("scores", "log_probs", "patch_means", "patch_stds")


def check_name(name: str) -> str:
    """The name of a calibration.

    Raises:
        ValueError: It is empty, too long or no plain file name.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"--name takes 1..64 letters, digits, dots, dashes and underscores, got {name!r}")
    return name


def save_calibration(calibration: Calibration, checkpoint: Path) -> Path:
    """Write a calibration into a checkpoint's folder, replacing one of its name; its JSON file."""
    folder = checkpoint / FOLDER
    folder.mkdir(exist_ok=True)
    tensors = {
        f"{view}.{name}": tensor.contiguous()
        for view, reference in calibration.references.items()
        for name, tensor in _tensors(reference).items()
    }
    weights, facts, partial = (folder / f"{calibration.name}.{kind}" for kind in ("safetensors", "json", "partial"))
    save_file(tensors, partial)
    digest = _digest(partial)
    partial.chmod(0o644)  # safetensors makes it private; a server may run as another user
    os.replace(partial, weights)
    body = {
        "name": calibration.name,
        **asdict(calibration.provenance),
        "views": {
            view: {"features": calibration.features[view], "thresholds": reference.thresholds()}
            for view, reference in calibration.references.items()
        },
        "digest": digest,
    }
    partial.write_text(json.dumps(body, indent=2) + "\n")
    os.replace(partial, facts)
    return facts


def calibration_names(checkpoint: Path) -> list[str]:
    """The calibrations of a checkpoint's folder, `default` first."""
    names = sorted(file.stem for file in (checkpoint / FOLDER).glob("*.json"))
    return sorted(names, key=lambda name: name != DEFAULT_NAME)


def load_calibration(checkpoint: Path, name: str, weights_digest: str, device: torch.device | str) -> Calibration:
    """A calibration for the weights of this digest.

    Raises:
        CheckpointError: It is missing or damaged, or it was made for other weights.
    """
    file = checkpoint / FOLDER / f"{name}.json"
    try:
        fields = json.loads(file.read_text())
        views, digest = fields.pop("views"), fields.pop("digest")
        provenance = Provenance(**{key: value for key, value in fields.items() if key != "name"})
        tensors = _read_tensors(file.with_suffix(".safetensors"), digest, device)
        references = {View(view): _reference(tensors, view) for view in views}
        features = {View(view): tuple(facts["features"]) for view, facts in views.items()}
    except OSError as error:
        raise CheckpointError(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{file}: {error!r}") from error
    if provenance.weights_digest != weights_digest:
        raise CheckpointError(
            f"{file}: made for weights {provenance.weights_digest[:12]}, these are {weights_digest[:12]}: "
            "run `tarflow calibrate` again"
        )
    return Calibration(name, provenance, references, features, digest)


def check_fits(calibration: Calibration, config: TarFlowConfig) -> None:
    """Raise CheckpointError unless it has the views that a flow's scores are judged in, of the features it has now."""
    needed = {View.NONE, View.GIVEN} if config.num_classes else {View.NONE}
    if missing := needed - calibration.features.keys():
        raise CheckpointError(f"calibration {calibration.name}: no view {', '.join(sorted(missing))}")
    for view, names in calibration.features.items():
        if names != feature_names(config, view is View.ALL):
            raise CheckpointError(
                f"calibration {calibration.name}: view {view} has other features than are taken now: "
                "run `tarflow calibrate` again"
            )


def _tensors(reference: Reference) -> dict[str, Tensor]:
    mixture = {name: getattr(reference.mixture, name) for name in MIXTURE_TENSORS}
    return mixture | {name: getattr(reference, name) for name in REFERENCE_TENSORS}


def _reference(tensors: dict[str, Tensor], view: str) -> Reference:
    mixture = Mixture(**{name: tensors[f"{view}.{name}"] for name in MIXTURE_TENSORS})
    return Reference(mixture, **{name: tensors[f"{view}.{name}"] for name in REFERENCE_TENSORS})


def _read_tensors(file: Path, digest: str, device: Any) -> dict[str, Tensor]:
    if _digest(file) != digest:
        raise ValueError(f"{file.name} is damaged: its SHA-256 is not {digest}")
    return load_file(file, device=str(device))


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
