"""Owns the laws of class names: two formats, label order, and a name for every class."""

from pathlib import Path

import pytest

from training.class_names import read_class_names


def written(tmp_path: Path, name: str, text: str) -> str:
    """A file's path."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def test_a_text_file_has_a_name_a_line(tmp_path: Path) -> None:
    assert read_class_names(written(tmp_path, "names.txt", "cat\nsea lion \n")) == ("cat", "sea lion")


def test_a_csv_file_is_read_by_its_columns_in_the_order_of_its_indices(tmp_path: Path) -> None:
    text = 'name,wnid,index\n"lion, sea",n2,1\ncat,n1,0\n'
    assert read_class_names(written(tmp_path, "names.csv", text)) == ("cat", "lion, sea")


@pytest.mark.parametrize(("name", "text"), [("names.txt", "cat\ndog\n"), ("names.csv", "index,name\n0,cat\n1,dog\n")])
def test_a_byte_order_mark_is_part_of_no_name(tmp_path: Path, name: str, text: str) -> None:
    assert read_class_names(written(tmp_path, name, "\ufeff" + text)) == ("cat", "dog")


def test_a_name_of_several_classes_gets_their_labels(tmp_path: Path) -> None:
    assert read_class_names(written(tmp_path, "names.txt", "crane\ncat\ncrane\n")) == ("crane (0)", "cat", "crane (2)")


def test_imagenets_thousand_come_with_the_package() -> None:
    names = read_class_names("imagenet")
    assert (len(set(names)), names[0], names[207], names[999]) == (1000, "tench", "golden retriever", "toilet tissue")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("names.txt", "cat\n\ndog\n", "the name of class 1 is empty"),
        ("names.csv", "index,label\n0,cat\n", r"must name the columns index and name, without \['name'\]"),
        ("names.csv", "", r"must name the columns index and name, without \['index', 'name'\]"),
        ("names.csv", "index,name\n0,cat\n2,dog\n", r"index must take each of 0\.\.1 once"),
        ("names.csv", "index,name\n0,cat\n0,dog\n", r"index must take each of 0\.\.1 once"),
        ("names.csv", "index,name\nzero,cat\n", r"index must take each of 0\.\.0 once"),
        ("names.csv", "index,name\n0\n", "the name of class 0 is empty"),
    ],
)
def test_a_file_that_leaves_a_class_without_a_name_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_class_names(written(tmp_path, name, text))
