"""Calibrations on disk: `calibration/<name>.json` and `.safetensors` in a checkpoint's folder.

Owns the format, its strict loading, the search by name, and a replacement of which a reader sees the old or the new
whole, wherever it breaks off: the new numbers wait under a name of their own until the JSON file, which has their
digest, is replaced. Knows nothing of how they are made or used.
"""

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import Tensor

from model.calibration import DEFAULT_NAME, Calibration, Mixture, Provenance, Reference, View
from model.config import TarFlowConfig
from model.errors import CheckpointError
from model.features import feature_names
from model.replacement import replacing

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
    """Write a calibration into a checkpoint's folder, replacing one of its name in one step; its JSON file."""
    folder = checkpoint / FOLDER
    folder.mkdir(exist_ok=True)
    tensors = {
        f"{view}.{name}": tensor.contiguous()
        for view, reference in calibration.references.items()
        for name, tensor in _tensors(reference).items()
    }
    facts = folder / f"{calibration.name}.json"
    _end_replacement(facts)
    with replacing(_waiting(facts)) as partial:
        save_file(tensors, partial)
        digest = _digest(partial.read_bytes())
        partial.chmod(0o644)  # safetensors makes it private; a server may run as another user
    body = {
        "name": calibration.name,
        **asdict(calibration.provenance),
        "views": {
            view: {"features": calibration.features[view], "thresholds": reference.thresholds()}
            for view, reference in calibration.references.items()
        },
        "digest": digest,
    }
    with replacing(facts) as partial:
        partial.write_text(json.dumps(body, indent=2) + "\n")
    _end_replacement(facts)
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
        fields, content = _read(file)
        views, digest = fields.pop("views"), fields.pop("digest")
        fields["png_lengths"] = tuple(fields.get("png_lengths", ()))
        provenance = Provenance(**{key: value for key, value in fields.items() if key != "name"})
        tensors = {key: tensor.to(device) for key, tensor in load_tensors(content).items()}
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


def _weights(facts: Path) -> Path:
    return facts.with_suffix(".safetensors")


def _waiting(facts: Path) -> Path:
    """Where new numbers lie while the JSON file is replaced."""
    return facts.with_suffix(".safetensors.new")


def _read(facts: Path) -> tuple[dict[str, Any], bytes]:
    """The description and the numbers of one and the same calibration, though it be replaced meanwhile."""
    looked_for = None
    while True:
        fields = json.loads(facts.read_text())
        digest = fields["digest"]
        for file in (_weights(facts), _waiting(facts)):
            with suppress(FileNotFoundError):
                if _digest(content := file.read_bytes()) == digest:
                    return fields, content
        if digest == looked_for:
            name = _weights(facts).name
            fault = f"damaged: its SHA-256 is not {digest}" if _weights(facts).is_file() else "missing"
            raise ValueError(f"{name} is {fault}")
        looked_for = digest


def _end_replacement(facts: Path) -> None:
    """Give the numbers that the JSON file is about their name, if they wait for it."""
    try:
        if _digest(_waiting(facts).read_bytes()) == json.loads(facts.read_text())["digest"]:
            os.replace(_waiting(facts), _weights(facts))
    except (OSError, ValueError, KeyError, TypeError):  # Nothing waits, or nothing that is wanted.
        return


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
