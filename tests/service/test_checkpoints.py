"""Owns the laws of which checkpoints are taken to be there, before anything is started that would need them."""

from pathlib import Path

import pytest

from service.checkpoints import CONFIG_FILE, CheckpointMissing, check_checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / CONFIG_FILE).touch()
    return tmp_path / "mine"


def test_a_checkpoint_folder_is_there(folder: Path) -> None:
    check_checkpoints([str(folder), f"{folder}/"])


def test_a_published_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "published.pth").touch()
    check_checkpoints([str(tmp_path / "published.pth")])


def test_a_folder_without_a_checkpoint_is_not(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing):
        check_checkpoints([str(tmp_path)])


def test_those_that_came_with_us_are_there_by_name_and_are_named_to_who_asks_for_another(folder: Path) -> None:
    with pytest.raises(CheckpointMissing, match="'unheard-of'") as refused:
        check_checkpoints([str(folder), "unheard-of"])
    _, _, named = str(refused.value).partition("one of ")
    bundled = named.partition(";")[0].split(", ")
    assert "mnist-28" in bundled
    check_checkpoints(bundled)
