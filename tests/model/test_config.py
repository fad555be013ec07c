"""Owns the laws of `TarFlowConfig`: its bounds, the numbers derived from it, its JSON."""

import math
from typing import Any

import pytest

from model import TarFlowConfig

FIELDS: dict[str, Any] = {
    "image_size": 12,
    "patch_size": 3,
    "in_channels": 2,
    "channels": 32,
    "head_dim": 8,
    "blocks": 2,
    "layers_per_block": 1,
    "num_classes": 5,
    "noise_std": 0.05,
}


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("image_size", 0, "at least 1"),
        ("patch_size", 0, "at least 1"),
        ("in_channels", 0, "at least 1"),
        ("channels", 0, "at least 1"),
        ("head_dim", 0, "at least 1"),
        ("blocks", 0, "at least 1"),
        ("layers_per_block", -1, "at least 1"),
        ("image_size", 13, "multiple of patch_size 3"),
        ("channels", 33, "multiple of head_dim 8"),
        ("patch_size", 12, "at least 2 patches"),
        ("num_classes", -1, "at least 0"),
        ("noise_std", -0.1, r"\[0, 1\]"),
        ("noise_std", 1.1, r"\[0, 1\]"),
        ("noise_std", math.nan, r"\[0, 1\]"),
        ("noise_std", True, r"\[0, 1\]"),
        ("noise_std", "0.1", r"\[0, 1\]"),
        ("volume_preserving", "false", "true or false"),
        ("volume_preserving", 0, "true or false"),
        ("noise_type", "pink", "gaussian.*uniform"),
    ],
)
def test_a_value_out_of_bounds_is_refused_naming_field_and_bound(field: str, value: float | str, bound: str) -> None:
    with pytest.raises(ValueError, match=f"^{field} must .*{bound}"):
        TarFlowConfig(**FIELDS | {field: value})


@pytest.mark.parametrize(("field", "value"), [("image_size", 13), ("num_classes", -7), ("noise_type", "pink")])
def test_a_refusal_names_the_offending_value(field: str, value: int | str) -> None:
    with pytest.raises(ValueError, match=f"got '?{value}'?$"):
        TarFlowConfig(**FIELDS | {field: value})


@pytest.mark.parametrize(("field", "value"), [("noise_std", 0), ("noise_std", 1), ("num_classes", 0), ("blocks", 1)])
def test_a_value_on_its_bound_is_taken(field: str, value: int) -> None:
    assert getattr(TarFlowConfig(**FIELDS | {field: value}), field) == value


@pytest.mark.parametrize(("name", "value"), [("patches", 16), ("patch_dims", 18), ("dims", 288), ("heads", 4)])
def test_a_derived_number_follows_from_the_fields(name: str, value: int) -> None:
    assert getattr(TarFlowConfig(**FIELDS), name) == value


def test_a_config_survives_json() -> None:
    config = TarFlowConfig(**FIELDS, volume_preserving=True, noise_type="uniform")
    assert TarFlowConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("fields", [FIELDS | {"colour": 1}, {"image_size": 12}], ids=["unknown", "missing"])
def test_json_with_other_fields_is_no_architecture(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not an architecture: .*(colour|patch_size)"):
        TarFlowConfig.from_json(fields)


@pytest.mark.parametrize(
    ("noise_type", "words"), [("gaussian", "Gaussian noise of standard deviation 0.05"), ("uniform", "dequantised")]
)
def test_the_density_is_named_after_the_noise(noise_type: str, words: str) -> None:
    assert words in TarFlowConfig(**FIELDS | {"noise_type": noise_type}).density
