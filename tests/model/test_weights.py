"""Owns the laws of weights in parts: they hold what one file would, and nothing damaged or incomplete gets in."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model import CheckpointError, TarFlow, load, save
from model.checkpoint import load_card
from model.weights import weights_files

FlowMaker = Callable[..., TarFlow]
PART_BYTES = 8192
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture
def flow(make_flow: FlowMaker) -> TarFlow:
    """A tiny conditional flow in float32."""
    return make_flow().float()


@pytest.fixture
def folder(flow: TarFlow, tmp_path: Path) -> Path:
    """That flow, saved in parts."""
    save(flow, tmp_path / "tiny", part_bytes=PART_BYTES)
    return tmp_path / "tiny"


def parts_of(folder: Path) -> list[Path]:
    """Its parts, in order."""
    return sorted(folder.glob("model-*.safetensors"))


def forget_digest(folder: Path) -> None:
    """Take away what would tell a damage."""
    config = json.loads((folder / "config.json").read_text())
    del config["digest"]
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_in_parts_come_back_as_those_in_one_file(flow: TarFlow, tmp_path: Path, dtype: torch.dtype) -> None:
    save(flow, tmp_path / "parts", dtype=dtype, part_bytes=PART_BYTES)
    save(flow, tmp_path / "one", dtype=dtype)
    ours, theirs = (load(tmp_path / name).state_dict() for name in ("parts", "one"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_any_dtype_load_in_float32(flow: TarFlow, tmp_path: Path, dtype: torch.dtype) -> None:
    save(flow, tmp_path, dtype=dtype, part_bytes=PART_BYTES)
    assert {tensor.dtype for tensor in load(tmp_path).state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part_bytes", [6000, PART_BYTES, 20000])
def test_no_part_is_larger_than_allowed(flow: TarFlow, tmp_path: Path, dtype: torch.dtype, part_bytes: int) -> None:
    save(flow, tmp_path, dtype=dtype, part_bytes=part_bytes)
    assert max(part.stat().st_size for part in parts_of(tmp_path)) <= part_bytes
    assert len(parts_of(tmp_path)) > 1


def test_a_tensor_larger_than_a_part_has_one_of_its_own(flow: TarFlow, tmp_path: Path) -> None:
    save(flow, tmp_path, part_bytes=1)
    assert {len(load_file(part)) for part in parts_of(tmp_path)} == {1}
    assert load(tmp_path).config == flow.config


def test_parts_are_numbered_and_say_how_many_there_are(folder: Path) -> None:
    count = len(parts_of(folder))
    names = [f"model-{index:05}-of-{count:05}.safetensors" for index in range(1, count + 1)]
    assert [part.name for part in parts_of(folder)] == names


def test_weights_that_fit_into_one_part_are_one(flow: TarFlow, tmp_path: Path) -> None:
    save(flow, tmp_path, part_bytes=1 << 30)
    assert [part.name for part in parts_of(tmp_path)] == ["model-00001-of-00001.safetensors"]
    assert load(tmp_path).config == flow.config


def test_the_digest_is_that_of_the_parts_one_after_the_other(folder: Path) -> None:
    whole = b"".join(part.read_bytes() for part in parts_of(folder))
    assert load_card(folder).digest == hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize("index", [0, -1])
def test_a_part_that_lost_a_bit_is_refused(folder: Path, index: int) -> None:
    part = parts_of(folder)[index]
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged, its SHA-256 is not"):
        load(folder)


@pytest.mark.parametrize("kept", [0, 4, 500])
def test_a_part_cut_short_is_refused_without_a_digest_too(folder: Path, kept: int) -> None:
    forget_digest(folder)
    parts_of(folder)[1].write_bytes(parts_of(folder)[1].read_bytes()[:kept])
    with pytest.raises(CheckpointError):
        load(folder)


@pytest.mark.parametrize("index", [0, 1, -1])
def test_a_missing_part_is_refused_by_name(folder: Path, index: int) -> None:
    lost = parts_of(folder)[index]
    lost.unlink()
    with pytest.raises(CheckpointError, match=rf"parts \['{lost.name}'\] are missing"):
        load(folder)


def test_parts_of_two_wholes_are_refused(folder: Path) -> None:
    (folder / "model-00001-of-00099.safetensors").write_bytes(parts_of(folder)[0].read_bytes())
    with pytest.raises(CheckpointError, match="not the parts of one whole"):
        load(folder)


def test_a_part_beyond_the_last_is_refused(folder: Path) -> None:
    count = len(parts_of(folder))
    (folder / f"model-{count + 1:05}-of-{count:05}.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"{count + 1} parts say that they are {count}"):
        load(folder)


def test_parts_beside_a_whole_file_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(parts_of(folder)[0].read_bytes())
    with pytest.raises(CheckpointError, match=r"holds both model\.safetensors and parts"):
        load(folder)


def test_a_tensor_in_two_parts_is_refused_by_name(folder: Path) -> None:
    forget_digest(folder)
    first, last = parts_of(folder)[0], parts_of(folder)[-1]
    stolen = next(iter(load_file(first)))
    save_file(load_file(last) | {stolen: load_file(first)[stolen]}, last)
    with pytest.raises(CheckpointError, match=rf"holds \['{stolen}'\], which an earlier part holds too"):
        load(folder)


@pytest.mark.parametrize(("before", "after"), [(None, PART_BYTES), (PART_BYTES, None), (6000, 20000)])
def test_a_save_in_another_form_leaves_nothing_of_the_one_before(
    flow: TarFlow, tmp_path: Path, before: int | None, after: int | None
) -> None:
    save(flow, tmp_path / "again", part_bytes=before)
    save(flow, tmp_path / "again", part_bytes=after)
    save(flow, tmp_path / "once", part_bytes=after)
    names = [{file.name for file in (tmp_path / name).iterdir()} for name in ("again", "once")]
    assert names[0] == names[1]
    assert load(tmp_path / "again").config == flow.config


def test_the_weights_files_of_a_folder_are_named_in_order(folder: Path) -> None:
    assert weights_files(folder) == parts_of(folder)
