"""Owns the laws of checkpoint folders: what is saved comes back, and nothing damaged gets in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model import CheckpointError, TarFlow, checkpoint, load, save
from model.card import Card, SamplingDefaults

FlowMaker = Callable[..., TarFlow]
State = dict[str, Tensor]
GOLDEN = Path(__file__).parents[1] / "golden"
CARD = Card(
    class_names=("cat", "dog", "owl"),
    sampling=SamplingDefaults(guidance=2.0, denoise=False, attention_temperature=0.5, annealed=True),
    trained_on="drawings",
    data_licence="CC0",
    command="python -m training",
    metrics={"bits_per_dim": 1.25},
    measured_by={"bits_per_dim": "tarflow evaluate"},
    hardware="an abacus",
    hours=1.5,
    intended_use="tests",
    limits=("no faces", "no money"),
    notes=("slow",),
    curve="curve.png",
    sheet="sheet.png",
)


@pytest.fixture
def flow(make_flow: FlowMaker) -> TarFlow:
    """A tiny conditional flow in float32."""
    return make_flow().float()


@pytest.fixture
def folder(flow: TarFlow, tmp_path: Path) -> Path:
    """That flow, saved."""
    save(flow, tmp_path / "tiny", CARD)
    return tmp_path / "tiny"


def edit_config(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a saved config in place."""
    fields = json.loads((folder / "config.json").read_text())
    edit(fields)
    (folder / "config.json").write_text(json.dumps(fields))


def edit_weights(folder: Path, edit: Callable[[State], object]) -> None:
    """Change saved weights in place, and take the digest away that would tell."""
    state = load_file(folder / "model.safetensors")
    edit(state)
    save_file(state, folder / "model.safetensors")
    edit_config(folder, lambda fields: fields.pop("digest"))


@pytest.mark.parametrize("kind", [{}, {"num_classes": 0, "noise_type": "uniform"}, {"volume_preserving": True}])
def test_a_saved_flow_comes_back_bit_for_bit(make_flow: FlowMaker, tmp_path: Path, kind: dict[str, Any]) -> None:
    flow = make_flow(**kind).float()
    save(flow, tmp_path)
    loaded = load(tmp_path)
    assert loaded.config == flow.config
    torch.testing.assert_close(loaded.state_dict(), flow.state_dict(), rtol=0, atol=0)


def test_a_flow_saved_in_float16_comes_back_in_float32_and_close(flow: TarFlow, tmp_path: Path) -> None:
    save(flow, tmp_path, dtype=torch.float16)
    torch.testing.assert_close(load(tmp_path).state_dict(), flow.state_dict(), rtol=1e-3, atol=1e-6)


def test_a_flow_saved_in_float16_takes_half_the_room(flow: TarFlow, folder: Path, tmp_path: Path) -> None:
    save(flow, tmp_path / "half", dtype=torch.float16)
    whole, half = (load_file(path / "model.safetensors")["var"].nbytes for path in (folder, tmp_path / "half"))
    assert half == whole / 2


def test_a_loaded_flow_is_frozen(folder: Path) -> None:
    assert [name for name, weight in load(folder).named_parameters() if weight.requires_grad] == []


def test_a_loaded_flow_is_in_inference_mode(folder: Path) -> None:
    assert not load(folder).training


def test_a_saved_card_comes_back_with_the_digest_of_the_weights(folder: Path) -> None:
    digest = checkpoint.load_card(folder).digest
    assert len(digest) == 64
    assert checkpoint.load_card(folder) == Card(**vars(CARD) | {"digest": digest})


@pytest.mark.parametrize("read", [checkpoint.load_card, checkpoint.load_config])
def test_a_published_file_has_no_facts_to_read(read: Callable[[Path], object]) -> None:
    with pytest.raises(CheckpointError, match=r"conditional.pth: a published file .*: `tarflow import` it first"):
        read(GOLDEN / "conditional.pth")


def test_a_card_as_json_holds_nothing_json_would_change() -> None:
    assert json.loads(json.dumps(CARD.to_json())) == CARD.to_json()


def test_a_card_survives_json() -> None:
    assert Card.from_json(json.loads(json.dumps(CARD.to_json()))) == CARD


@pytest.mark.parametrize("fields", [{"colour": 1}, {"sampling": {"colour": 1}}])
def test_a_card_with_an_unknown_field_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not a card: .*'colour'"):
        Card.from_json(fields)


def test_a_card_of_before_these_facts_were_kept_still_loads() -> None:
    newer = {"measured_by", "hardware", "hours", "intended_use", "limits", "notes", "curve", "sheet"}
    older = {name: value for name, value in CARD.to_json().items() if name not in newer}
    assert Card.from_json(older).hours is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"hours": -1.0}, "hours must be finite and at least 0"),
        ({"hours": float("inf")}, "hours must be finite and at least 0"),
        ({"hours": "many"}, "hours must be finite and at least 0, got 'many'"),
        ({"hours": True}, "hours must be finite and at least 0, got True"),
        ({"trained_on": 5}, "trained_on must be a string, got 5"),
        ({"curve": None}, "curve must be a string, got None"),
        ({"metrics": [1]}, r"metrics must be finite numbers by name, got \[1\]"),
        ({"metrics": {"fid": "low"}}, "metrics must be finite numbers by name, got {'fid': 'low'}"),
        ({"metrics": {"fid": float("nan")}}, "metrics must be finite numbers by name, got {'fid': nan}"),
        ({"metrics": {"fid": 10**400}}, "metrics must be finite numbers by name"),
        ({"measured_by": {"fid": 1}}, "measured_by must be strings by name, got {'fid': 1}"),
        ({"sampling": 5}, "not a card"),
        ({"sampling": {"guidance": float("nan")}}, r"guidance must be a number in \[0, 20\], got nan"),
        ({"sampling": {"guidance": 21}}, r"guidance must be a number in \[0, 20\], got 21"),
        ({"sampling": {"attention_temperature": 0}}, r"attention_temperature must be a number in \[0.01, 1\], got 0"),
        ({"sampling": {"denoise": "no"}}, "denoise must be true or false, got 'no'"),
        ({"sampling": {"annealed": 1}}, "annealed must be true or false, got 1"),
        ({"limits": "none"}, "limits must be a list of strings"),
        ({"notes": [1]}, "notes must be a list of strings"),
        ({"curve": "../curve.png"}, "curve must be the name of a file beside the weights"),
        ({"sheet": "/etc/passwd"}, "sheet must be the name of a file beside the weights"),
    ],
)
def test_a_card_with_a_fact_that_cannot_be_is_refused_by_name(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Card.from_json(fields)


def test_figures_are_added_with_their_command(folder: Path) -> None:
    checkpoint.add_metrics(folder, {"fid": 2.0}, "tarflow evaluate --samples 10000")
    card = checkpoint.load_card(folder)
    assert card.metrics == {"bits_per_dim": 1.25, "fid": 2.0}
    assert card.measured_by == {"bits_per_dim": "tarflow evaluate", "fid": "tarflow evaluate --samples 10000"}


def test_a_card_of_other_weights_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="the card is of other weights"):
        checkpoint.save_card(folder, CARD)


def test_a_published_file_takes_no_card() -> None:
    with pytest.raises(CheckpointError, match="`tarflow import` it first"):
        checkpoint.save_card(GOLDEN / "conditional.pth", CARD)


def test_the_architecture_is_told_without_the_weights(flow: TarFlow, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert checkpoint.load_config(folder) == flow.config


def test_a_folder_holds_every_tensor_a_strict_published_loader_asks_for(tmp_path: Path) -> None:
    published = torch.load(GOLDEN / "conditional.pth", weights_only=True)
    save(load(GOLDEN / "conditional.pth"), tmp_path)
    shapes = {name: tensor.shape for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    assert shapes == {name: tensor.shape for name, tensor in published.items()}


def test_the_masks_a_folder_holds_are_the_published_ones(tmp_path: Path) -> None:
    published = torch.load(GOLDEN / "conditional.pth", weights_only=True)["blocks.0.attn_mask"]
    save(load(GOLDEN / "conditional.pth"), tmp_path)
    assert torch.equal(load_file(tmp_path / "model.safetensors")["blocks.0.attn_mask"].to(published), published)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda state: state.pop("blocks.1.proj_in.bias"), 'Missing key.*"blocks.1.proj_in.bias"'),
        (lambda state: state.update(stray=torch.zeros(1)), 'Unexpected key.*"stray"'),
        (lambda state: state.update(var=torch.ones(9, 4)), r"size mismatch for var: .*\[9, 4\].*\[9, 8\]"),
        (lambda state: state["blocks.1.pos_embed"][0].fill_(torch.nan), "blocks.1.pos_embed holds 8 non-finite .*nan"),
        (lambda state: state["var"][0, 0].fill_(torch.inf), "var holds 1 non-finite .*inf"),
    ],
    ids=["missing", "extra", "misshapen", "nan", "inf"],
)
def test_a_tensor_that_does_not_fit_is_refused_by_name(
    folder: Path, edit: Callable[[State], object], message: str
) -> None:
    edit_weights(folder, edit)
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        load(folder)


def test_weights_that_lost_a_bit_are_refused(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model.safetensors: damaged"):
        load(folder)


@pytest.mark.parametrize("kept", [0, 4, 1000])
def test_weights_cut_short_are_refused_without_a_digest_too(folder: Path, kept: int) -> None:
    edit_config(folder, lambda fields: fields.pop("digest"))
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model.safetensors"):
        load(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda fields: fields.update(colour=1), "'colour'"),
        (lambda fields: fields["architecture"].update(colour=1), "'colour'"),
        (lambda fields: fields["architecture"].pop("blocks"), "'blocks'"),
        (lambda fields: fields["architecture"].update(blocks=0), "blocks must be an integer of at least 1"),
        (lambda fields: fields["architecture"].update(blocks=2.0), "blocks must be an integer .*got 2.0"),
        (lambda fields: fields.update(class_names=["cat", "dog"]), "class_names must number 3, got 2"),
        (lambda fields: fields.update(class_names="abc"), "class_names must be a list"),
        (lambda fields: fields["architecture"].update(blocks=3), "Missing key.*blocks.2.pos_embed"),
        (lambda fields: fields.pop("architecture"), "'architecture'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_name(
    folder: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_config(folder, edit)
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "\ud83d"])
def test_a_config_that_is_not_json_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=r"config.json"):
        load(folder)


def test_a_folder_takes_no_facts(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="'noise_std'"):
        load(folder, noise_std=0.1)


def test_a_bundled_checkpoint_is_found_by_its_name(
    folder: Path, flow: TarFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "BUNDLED", folder.parent)
    assert load("tiny").config == flow.config


def test_an_unknown_name_is_refused_listing_those_there_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "BUNDLED", folder.parent)
    with pytest.raises(CheckpointError, match=r"no checkpoint 'huge': .*\['tiny'\]"):
        load("huge")


def test_class_names_of_another_count_are_refused(flow: TarFlow, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="class_names must number 3, got 2"):
        save(flow, tmp_path, Card(class_names=("cat", "dog")))


@pytest.mark.parametrize(("value", "dtype"), [(torch.nan, torch.float32), (1e6, torch.float16)])
def test_a_weight_that_is_not_finite_once_saved_is_refused_by_name(
    flow: TarFlow, tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    with torch.no_grad():
        flow.blocks[1].proj_in.bias[3] = value
    with pytest.raises(CheckpointError, match=r"blocks\.1\.proj_in\.bias holds 1 non-finite"):
        save(flow, tmp_path, dtype=dtype)


def test_a_refused_save_leaves_the_checkpoint_before_it_whole(flow: TarFlow, folder: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    flow.var.fill_(torch.nan)
    with pytest.raises(CheckpointError):
        save(flow, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_save_leaves_the_two_files_of_the_format_and_nothing_else(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {"model.safetensors", "config.json"}
