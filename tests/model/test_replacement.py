"""Owns the laws of replacing a file: whole or not at all, and nothing half written stays."""

from pathlib import Path

import pytest

from model.replacement import replacing


def test_a_file_is_replaced_when_its_block_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with replacing(tmp_path / "file") as partial:
        partial.write_text("new")
        assert (tmp_path / "file").read_text() == "old"
    assert (tmp_path / "file").read_text() == "new"


def test_a_file_that_was_not_there_is_made(tmp_path: Path) -> None:
    with replacing(tmp_path / "file.json") as partial:
        partial.write_text("new")
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_what_breaks_off_leaves_the_file_as_it_was_and_nothing_beside_it(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    def write(file: Path) -> None:
        with replacing(file) as partial:
            partial.write_text("ne")
            raise failure

    (tmp_path / "file").write_text("old")
    with pytest.raises(failure):
        write(tmp_path / "file")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"file": "old"}


def test_a_block_that_writes_nothing_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "old"
