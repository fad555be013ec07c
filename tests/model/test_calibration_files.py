"""Owns the laws of calibrations on disk: what is saved comes back exactly; what does not fit is refused by name."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model import CheckpointError, TarFlow
from model.calibration import Calibration, Mixture, Provenance, Reference, View
from model.calibration_files import calibration_names, check_fits, check_name, load_calibration, save_calibration
from model.features import feature_names

FlowMaker = Callable[..., TarFlow]
DIGEST = "d1" * 32


def calibration(flow: TarFlow, *views: View, name: str = "default") -> Calibration:
    """A calibration of random numbers."""
    names = {view: feature_names(flow.config, view is View.ALL) for view in views or (View.NONE, View.GIVEN)}
    provenance = Provenance(
        "2026-01-01T00:00:00+00:00", DIGEST, "cats", 200, 7, 100, 100, 3, 2, "tarflow calibrate", "zlib", (3, 4)
    )
    references = {view: _reference(len(each)) for view, each in names.items()}
    return Calibration(name, provenance, references, names)


def _reference(width: int) -> Reference:
    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    mixture = Mixture(random(width), random(width), random(2), random(2, width), random(2, width, width))
    return Reference(mixture, random(100).sort().values, random(100).sort().values, random(9), random(9))


def tensors(kept: Calibration) -> Iterator[Tensor]:
    """Every number of a calibration."""
    for _, reference in sorted(kept.references.items()):
        for part in (reference.mixture, reference):
            yield from (value for each in fields(part) if isinstance(value := getattr(part, each.name), Tensor))


@pytest.fixture
def kept(make_flow: FlowMaker, tmp_path: Path) -> Calibration:
    """A calibration that lies in `tmp_path`."""
    made = calibration(make_flow())
    save_calibration(made, tmp_path)
    return made


@pytest.fixture
def edit(kept: Calibration, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Change its JSON file."""

    def change(how: Callable[[dict[str, Any]], object]) -> None:
        file = tmp_path / "calibration" / f"{kept.name}.json"
        body = json.loads(file.read_text())
        how(body)
        file.write_text(json.dumps(body))

    return change


def test_every_number_comes_back_exactly(kept: Calibration, tmp_path: Path) -> None:
    pairs = zip(tensors(load_calibration(tmp_path, "default", DIGEST, "cpu")), tensors(kept), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_what_is_said_of_it_comes_back(kept: Calibration, tmp_path: Path) -> None:
    found = load_calibration(tmp_path, "default", DIGEST, "cpu")
    assert (found.name, found.provenance, found.features) == (kept.name, kept.provenance, kept.features)


def test_other_numbers_have_another_digest(make_flow: FlowMaker, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_calibration(calibration(make_flow(), name=name), tmp_path)
    one, two = (load_calibration(tmp_path, name, DIGEST, "cpu").digest for name in ("a", "b"))
    assert one != two


def test_a_calibration_replaces_one_of_its_name(make_flow: FlowMaker, kept: Calibration, tmp_path: Path) -> None:
    again = calibration(make_flow())
    save_calibration(again, tmp_path)
    found = load_calibration(tmp_path, kept.name, DIGEST, "cpu")
    assert torch.equal(found.references[View.NONE].scores, again.references[View.NONE].scores)


def test_saving_leaves_two_files_that_others_may_read(kept: Calibration, tmp_path: Path) -> None:
    modes = {file.name: file.stat().st_mode & 0o444 for file in (tmp_path / "calibration").iterdir()}
    assert modes == {f"{kept.name}.json": 0o444, f"{kept.name}.safetensors": 0o444}


class Crash(BaseException):
    """The end of a process."""


@contextmanager
def crash(at: int) -> Iterator[None]:
    """End what runs at a replacement of a file, the first being 0."""
    replaced, replace_file = 0, os.replace

    def count(*files: Path) -> None:
        nonlocal replaced
        if replaced == at:
            raise Crash
        replaced += 1
        replace_file(*files)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.replace", count)
        with suppress(Crash):
            yield
            pytest.fail("nothing was replaced so often")


def which(tmp_path: Path, *candidates: Calibration) -> int:
    """Which of some calibrations the default is."""
    found = load_calibration(tmp_path, "default", DIGEST, "cpu").references[View.NONE].scores
    return [torch.equal(found, each.references[View.NONE].scores) for each in candidates].index(True)


@pytest.mark.parametrize(("at", "found"), [(0, 0), (1, 0), (2, 1)])
def test_a_replacement_that_breaks_off_leaves_the_old_or_the_new(
    at: int, found: int, make_flow: FlowMaker, kept: Calibration, tmp_path: Path
) -> None:
    again = calibration(make_flow())
    with crash(at):
        save_calibration(again, tmp_path)
    assert which(tmp_path, kept, again) == found


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("second", range(3))
def test_nor_is_anything_lost_when_the_next_breaks_off_too(
    first: int, second: int, make_flow: FlowMaker, kept: Calibration, tmp_path: Path
) -> None:
    tries = [calibration(make_flow()) for _ in range(3)]
    for made, at in zip(tries, (first, second), strict=False):
        with crash(at):
            save_calibration(made, tmp_path)
        assert which(tmp_path, kept, *tries) >= 0
    save_calibration(tries[2], tmp_path)
    assert which(tmp_path, *tries) == 2
    assert len(list((tmp_path / "calibration").iterdir())) == 2


def test_who_reads_while_it_is_replaced_again_and_again_gets_one_whole(
    make_flow: FlowMaker, kept: Calibration, tmp_path: Path
) -> None:
    turns = [kept, *(calibration(make_flow()) for _ in range(19))]
    ended = threading.Event()

    def read() -> int:
        reads = 0
        while not ended.is_set():
            which(tmp_path, *turns)
            reads += 1
        return reads

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for turn in range(200):
            save_calibration(turns[turn % 20], tmp_path)
        ended.set()
        assert reading.result() > 0


@pytest.mark.parametrize("name", ["v1.2", "v1.3", "a-b_c"])
def test_dots_and_dashes_in_a_name_are_kept(make_flow: FlowMaker, tmp_path: Path, name: str) -> None:
    for each in ("v1.2", "v1.3", "a-b_c"):
        save_calibration(calibration(make_flow(), name=each), tmp_path)
    assert load_calibration(tmp_path, name, DIGEST, "cpu").name == name


def test_the_default_comes_first(make_flow: FlowMaker, tmp_path: Path) -> None:
    for name in ("z", "default", "a"):
        save_calibration(calibration(make_flow(), name=name), tmp_path)
    assert calibration_names(tmp_path) == ["default", "a", "z"]


def test_a_checkpoint_may_have_none(tmp_path: Path) -> None:
    assert calibration_names(tmp_path) == []


def test_a_missing_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nobody\.json"):
        load_calibration(tmp_path, "nobody", DIGEST, "cpu")


@pytest.mark.parametrize("place", [0, 9, -1])
def test_damaged_numbers_are_refused_by_their_file(kept: Calibration, tmp_path: Path, place: int) -> None:
    file = tmp_path / "calibration" / f"{kept.name}.safetensors"
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"default\.safetensors is damaged"):
        load_calibration(tmp_path, "default", DIGEST, "cpu")


def test_numbers_that_are_not_there_are_refused_by_their_file(kept: Calibration, tmp_path: Path) -> None:
    (tmp_path / "calibration" / f"{kept.name}.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"default\.safetensors"):
        load_calibration(tmp_path, "default", DIGEST, "cpu")


@pytest.mark.usefixtures("kept")
def test_one_made_for_other_weights_is_refused_with_the_way_on(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"made for weights d1d1.*, these are e2e2.*: run `tarflow calibrate`"):
        load_calibration(tmp_path, "default", "e2" * 32, "cpu")


@pytest.mark.parametrize("field", ["views", "digest", "created_at", "weights_digest", "compared"])
def test_a_missing_field_is_refused_by_name(edit: Callable[..., None], tmp_path: Path, field: str) -> None:
    edit(lambda body: body.pop(field))
    with pytest.raises(CheckpointError, match=field):
        load_calibration(tmp_path, "default", DIGEST, "cpu")


def test_an_unknown_field_is_refused_by_name(edit: Callable[..., None], tmp_path: Path) -> None:
    edit(lambda body: body.update(surprise=1))
    with pytest.raises(CheckpointError, match="surprise"):
        load_calibration(tmp_path, "default", DIGEST, "cpu")


def test_an_unknown_view_is_refused_by_name(edit: Callable[..., None], tmp_path: Path) -> None:
    edit(lambda body: body["views"].update(sideways=body["views"].pop("none")))
    with pytest.raises(CheckpointError, match="sideways"):
        load_calibration(tmp_path, "default", DIGEST, "cpu")


def test_a_view_without_numbers_is_refused_by_name(edit: Callable[..., None], tmp_path: Path) -> None:
    edit(lambda body: body["views"].update(all=body["views"]["none"]))
    with pytest.raises(CheckpointError, match=r"all\.centre"):
        load_calibration(tmp_path, "default", DIGEST, "cpu")


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("content", ["", "[]", "null", "{", "7"])
def test_what_is_no_description_is_refused_by_its_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "calibration" / "default.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"default\.json"):
        load_calibration(tmp_path, "default", DIGEST, "cpu")


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "a b", "a" * 65, "a\n", "ä"])
def test_a_name_that_is_no_plain_file_name_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="--name takes"):
        check_name(name)


@pytest.mark.parametrize("changes", [{}, {"num_classes": 0}])
def test_one_of_the_flow_s_views_and_features_fits(make_flow: FlowMaker, changes: dict[str, int]) -> None:
    flow = make_flow(**changes)
    check_fits(calibration(flow, *((View.NONE, View.GIVEN, View.ALL) if not changes else (View.NONE,))), flow.config)


@pytest.mark.parametrize("view", [View.NONE, View.GIVEN])
def test_one_without_a_view_that_scores_need_is_refused_by_name(make_flow: FlowMaker, view: View) -> None:
    flow = make_flow()
    with pytest.raises(CheckpointError, match=f"no view {view}"):
        check_fits(calibration(flow, *({View.NONE, View.GIVEN} - {view})), flow.config)


def test_one_of_other_features_is_refused_with_the_way_on(make_flow: FlowMaker) -> None:
    flow = make_flow()
    made = calibration(flow)
    older = replace(made, features={view: names[1:] for view, names in made.features.items()})
    with pytest.raises(CheckpointError, match="has other features than are taken now: run `tarflow calibrate` again"):
        check_fits(older, flow.config)
