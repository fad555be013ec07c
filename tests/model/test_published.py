"""Owns the laws of published files: their facts read off the tensors, strictly, and no code run."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model import CheckpointError, TarFlow, TarFlowConfig, load
from model.published import facts_of_name, flow_from_state, load_state

FlowMaker = Callable[..., TarFlow]
State = dict[str, Tensor]
GOLDEN = Path(__file__).parents[1] / "golden"


class Intruder:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[str, str], object], tuple[str, str]]:
        return open, (str(self.file), "w")


@pytest.fixture
def state(make_flow: FlowMaker) -> State:
    """The tensors of a tiny flow, as a published file holds them."""
    return make_flow().float().state_dict()


@pytest.mark.parametrize(
    ("name", "facts", "config"),
    [
        ("conditional", {}, TarFlowConfig(16, 4, 64, 4, 2, num_classes=10)),
        ("unconditional", {"noise_std": 0.05, "in_channels": 3}, TarFlowConfig(16, 2, 128, 3, 1, noise_std=0.05)),
        (
            "volume_preserving",
            {"in_channels": 1, "noise_type": "uniform", "head_dim": 32},
            TarFlowConfig(8, 2, 64, 2, 2, 1, 32, 3, volume_preserving=True, noise_type="uniform"),
        ),
    ],
)
def test_the_architecture_is_read_off_the_shapes_and_the_facts(
    name: str, facts: dict[str, Any], config: TarFlowConfig
) -> None:
    assert load(GOLDEN / f"{name}.pth", **facts).config == config


def test_a_published_file_is_loaded_bit_for_bit() -> None:
    published = torch.load(GOLDEN / "conditional.pth", weights_only=True)
    loaded = load(GOLDEN / "conditional.pth").state_dict()
    expected = {name: tensor for name, tensor in published.items() if not name.endswith("attn_mask")}
    torch.testing.assert_close(dict(loaded), expected, rtol=0, atol=0)


@pytest.mark.parametrize("fact", ["channels", "num_classes", "colour"])
def test_a_fact_that_the_tensors_show_is_refused_by_name(fact: str) -> None:
    facts: dict[str, Any] = {fact: 1}
    with pytest.raises(CheckpointError, match=rf"\['{fact}'\] cannot be given"):
        load(GOLDEN / "conditional.pth", **facts)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"in_channels": 1}, "48 values in 1 channels is not square: is in_channels right"),
        ({"in_channels": 5}, "48 values in 5 channels is not square: is in_channels right"),
        ({"noise_std": 2.0}, "noise_std must lie in"),
        ({"noise_type": "pink"}, "noise_type must be one of"),
        ({"head_dim": 48}, "channels must be a multiple of head_dim 48"),
    ],
)
def test_a_fact_that_cannot_be_is_refused_by_name(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(GOLDEN / "conditional.pth", **facts)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda state: state.pop("blocks.0.pos_embed"), "'blocks.0.pos_embed' is missing"),
        (lambda state: state.update({"blocks.0.proj_in.weight": torch.ones(8)}), "no TarFlow"),
        (lambda state: state.pop("blocks.1.proj_out.bias"), "Missing key.*blocks.1.proj_out.bias"),
        (lambda state: state.update(stray=torch.zeros(1)), "Unexpected key.*stray"),
        (lambda state: state.update(var=torch.ones(9, 4)), "size mismatch for var"),
        (lambda state: state["blocks.0.pos_embed"].fill_(torch.inf), "blocks.0.pos_embed holds 72 non-finite"),
        (lambda state: state["var"].fill_(0), "var holds 0.0: a variance is above 0"),
        (lambda state: state.update({"stray.attn_mask": torch.ones(9, 9)}), "Unexpected key.*stray.attn_mask"),
        (
            lambda state: state.update({"blocks.3000000.pos_embed": torch.ones(1)}),
            r"Unexpected key.*blocks\.3000000\.pos_embed",
        ),
        (
            lambda state: state.update({"blocks.0.attn_blocks.3000000.mlp.norm.bias": torch.ones(1)}),
            r"Unexpected key.*blocks\.0\.attn_blocks\.3000000\.mlp\.norm\.bias",
        ),
        (lambda state: state.update({f"blocks.{'9' * 5000}.pos_embed": torch.ones(1)}), "Unexpected key"),
        (lambda state: state.update({3: torch.zeros(1)}), "not a plain dict of tensors"),
        (lambda state: state.update(epoch=3), "not a plain dict of tensors"),
        (lambda state: state.clear(), "no TarFlow"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name(
    state: State, tmp_path: Path, edit: Callable[[State], object], message: str
) -> None:
    edit(state)
    torch.save(dict(state), tmp_path / "flow.pth")
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        load(tmp_path / "flow.pth", in_channels=2, head_dim=4)


@pytest.mark.parametrize("in_channels", [0, -3, 3.0, "3", None])
def test_channels_that_are_no_count_are_refused_by_name(state: State, tmp_path: Path, in_channels: object) -> None:
    torch.save(dict(state), tmp_path / "flow.pth")
    with pytest.raises(CheckpointError, match=f"in_channels must be an integer of at least 1, got {in_channels!r}"):
        load(tmp_path / "flow.pth", in_channels=in_channels)


def test_a_published_file_in_float16_is_loaded_in_float32(state: State, tmp_path: Path) -> None:
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "flow.pth")
    loaded = load(tmp_path / "flow.pth", in_channels=2, head_dim=4)
    assert {weight.dtype for weight in loaded.state_dict().values()} == {torch.float32}


def test_a_published_float32_file_is_not_copied(state: State) -> None:
    flow = flow_from_state(state, {"in_channels": 2, "head_dim": 4})
    assert flow.blocks[0].proj_in.weight.data_ptr() == state["blocks.0.proj_in.weight"].data_ptr()


def test_a_folders_flow_has_memory_of_its_own(state: State, make_flow: FlowMaker) -> None:
    flow = load_state(make_flow().config, state)
    assert flow.blocks[0].proj_in.weight.data_ptr() != state["blocks.0.proj_in.weight"].data_ptr()


@pytest.mark.parametrize("write", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
def test_code_in_a_published_file_is_refused_and_not_run(
    state: State, tmp_path: Path, write: Callable[[object, Path], object]
) -> None:
    trace = tmp_path / "trace"
    write({**state, "intruder": Intruder(trace)}, tmp_path / "flow.pth")
    with pytest.raises(CheckpointError, match=r"flow.pth: not a state dict that can be read safely"):
        load(tmp_path / "flow.pth", in_channels=2, head_dim=4)
    assert not trace.exists()


@pytest.mark.parametrize("text", [b"", b"PK\x03\x04", b'{"architecture": {}}'])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "flow.pth").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"flow.pth: not a state dict"):
        load(tmp_path / "flow.pth")


@pytest.mark.parametrize("suffix", ["", ".pth"])
def test_a_published_name_tells_the_architecture(suffix: str) -> None:
    assert facts_of_name(f"weights/imagenet_64_model_2_768_8_4_0.05{suffix}") == {
        "data": "imagenet_64",
        "patch_size": 2,
        "channels": 768,
        "blocks": 8,
        "layers_per_block": 4,
        "noise_std": 0.05,
    }


@pytest.mark.parametrize(
    "name", ["flow.pth", "_model_2_768_8_4_0.05.pth", "afhq_model_2_768_8_4.pth", "afhq_model_2_768_8_4_0.05_ema.pth"]
)
def test_another_name_tells_nothing(name: str) -> None:
    assert facts_of_name(name) == {}
