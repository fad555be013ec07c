"""Owns the laws of data folders: every image is fitted, nothing else gets in, and what is left out is named."""

import io
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from training.image_folder import DataError, read_image_folder, report_unreadable

FolderMaker = Callable[..., Path]
FORMATS = ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "TGA", "AVIF"]
MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"]


def write(image: Image.Image, tmp_path: Path, suffix: str = "png") -> Path:
    """A folder that holds this image alone, of class `only`."""
    (tmp_path / "one" / "only").mkdir(parents=True)
    image.save(tmp_path / "one" / "only" / f"image.{suffix}")
    return tmp_path / "one"


def test_labels_are_the_folders_in_sorted_order(make_folder: FolderMaker) -> None:
    data = read_image_folder(make_folder(owl=1, cat=3, dog=2), 8, 1)
    assert data.class_names == ("cat", "dog", "owl")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 2]


def test_an_image_of_the_flows_size_keeps_its_pixels(make_folder: FolderMaker) -> None:
    data = read_image_folder(make_folder(cat=1), 8, 1)
    assert bytes(data.pixels.flatten().tolist()) == random.Random("cat 0").randbytes(64)


def test_colours_come_out_as_planes_in_order(tmp_path: Path) -> None:
    folder = write(Image.new("RGB", (8, 8), (10, 20, 30)), tmp_path)
    assert read_image_folder(folder, 8, 3).pixels[0, :, 4, 4].tolist() == [10, 20, 30]


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (300, 7), (7, 300), (17, 16)])
def test_any_size_is_fitted(tmp_path: Path, size: tuple[int, int], in_channels: int) -> None:
    data = read_image_folder(write(Image.new("RGB", size), tmp_path), 8, in_channels)
    assert data.pixels.shape == (1, in_channels, 8, 8)


def test_the_middle_of_a_wide_image_is_kept(tmp_path: Path) -> None:
    image = Image.new("L", (24, 8))
    image.paste(255, (8, 0, 16, 8))
    assert read_image_folder(write(image, tmp_path), 8, 1).pixels.unique().tolist() == [255]


@pytest.mark.parametrize("file_format", FORMATS)
def test_any_format_is_read(tmp_path: Path, file_format: str) -> None:
    folder = write(Image.new("RGB", (16, 16), (200, 200, 200)), tmp_path, file_format.lower())
    assert read_image_folder(folder, 8, 1).pixels.float().mean().item() == pytest.approx(200, abs=2)


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_any_mode_is_converted(tmp_path: Path, mode: str, in_channels: int) -> None:
    folder = write(Image.new(mode, (8, 8)), tmp_path, "tiff" if mode in ("CMYK", "YCbCr", "I", "F", "PA") else "png")
    assert read_image_folder(folder, 8, in_channels).pixels.shape == (1, in_channels, 8, 8)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    folder = write(Image.new("I;16", (8, 8), 128 * 256), tmp_path)
    assert read_image_folder(folder, 8, 1).pixels.unique().tolist() == [128]


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    folder = write(Image.new("RGBA", (8, 8), (255, 255, 255, 0)), tmp_path)
    assert read_image_folder(folder, 8, 3).pixels.unique().tolist() == [0]


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8))
    image.putpalette([90, 90, 90, 250, 250, 250])
    image.info["transparency"] = bytes([255, 0])
    assert read_image_folder(write(image, tmp_path), 8, 1).pixels.unique().tolist() == [90]


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("L", (8, 8))
    image.paste(255, (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    folder = tmp_path / "one"
    (folder / "only").mkdir(parents=True)
    image.save(folder / "only" / "image.png", exif=exif)
    assert read_image_folder(folder, 8, 1).pixels[0, 0, [0, 7], 0].tolist() == [0, 255]


def test_unreadable_files_are_left_out_and_named(make_folder: FolderMaker) -> None:
    folder = make_folder(cat=2, dog=1)
    (folder / "cat" / "00.png").write_text("not an image")
    (folder / "dog" / "notes.txt").write_bytes(b"")
    data = read_image_folder(folder, 8, 1)
    assert data.labels.tolist() == [0, 1]
    assert [line.split(":")[0] for line in data.unreadable] == [
        str(folder / "cat" / "00.png"),
        str(folder / "dog" / "notes.txt"),
    ]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_damaged_file_is_left_out_or_read_but_never_fatal(
    make_folder: FolderMaker, file_format: str, recwarn: pytest.WarningsRecorder
) -> None:
    folder, dice, stream = make_folder(cat=1), random.Random(0), io.BytesIO()
    Image.frombytes("RGB", (12, 9), dice.randbytes(324)).save(stream, file_format)
    for index in range(20):
        damaged = bytearray(stream.getvalue())
        for _ in range(4):
            damaged[dice.randrange(min(len(damaged), 200))] = dice.randrange(256)
        cut = len(damaged) if index % 2 else dice.randrange(len(damaged))
        (folder / "cat" / f"damaged {index}").write_bytes(damaged[:cut])
    data = read_image_folder(folder, 8, 3)
    assert len(data) + len(data.unreadable) == 21
    recwarn.clear()


def test_unreadable_files_are_counted_on_stderr_and_the_first_ten_named(
    make_folder: FolderMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(cat=3)
    for index in range(12):
        (folder / "cat" / f"broken {index:02}").write_text("not an image")
    report_unreadable(read_image_folder(folder, 8, 1))
    first, *named = capsys.readouterr().err.splitlines()
    assert first == "12 unreadable files left out of 15:"
    assert [f"broken {index:02}" in line for index, line in enumerate(named)] == [True] * 10


def test_a_whole_folder_says_nothing_on_stderr(make_folder: FolderMaker, capsys: pytest.CaptureFixture[str]) -> None:
    report_unreadable(read_image_folder(make_folder(cat=3), 8, 1))
    assert capsys.readouterr().err == ""


def test_hidden_folders_are_no_classes(make_folder: FolderMaker) -> None:
    folder = make_folder(cat=1)
    (folder / ".cache").mkdir()
    assert read_image_folder(folder, 8, 1).class_names == ("cat",)


def test_a_checkpoints_classes_give_the_labels(make_folder: FolderMaker) -> None:
    data = read_image_folder(make_folder(owl=1, cat=1), 8, 1, class_names=("owl", "dog", "cat"))
    assert sorted(data.labels.tolist()) == [0, 2]
    assert data.class_names == ("owl", "dog", "cat")


def test_a_class_that_the_checkpoint_does_not_know_is_refused_by_name(make_folder: FolderMaker) -> None:
    with pytest.raises(DataError, match=r"folders \['cat'\] are not among the checkpoint's classes \['dog'\]"):
        read_image_folder(make_folder(cat=1, dog=1), 8, 1, class_names=("dog",))


@pytest.mark.parametrize("counts", [{"cat": 1}, {"cat": 1, "dog": 1, "owl": 1}])
def test_labels_of_classes_without_names_are_not_guessed(make_folder: FolderMaker, counts: dict[str, int]) -> None:
    with pytest.raises(DataError, match=f"{len(counts)} class folders, and the checkpoint has 2 classes without names"):
        read_image_folder(make_folder(**counts), 8, 1, num_classes=2)


def test_as_many_folders_as_classes_without_names_are_labelled_in_sorted_order(make_folder: FolderMaker) -> None:
    assert read_image_folder(make_folder(dog=1, cat=2), 8, 1, num_classes=2).labels.tolist() == [0, 0, 1]


def test_a_few_folders_of_named_classes_are_enough(make_folder: FolderMaker) -> None:
    data = read_image_folder(make_folder(dog=1), 8, 1, class_names=("cat", "dog"), num_classes=2)
    assert data.labels.tolist() == [1]


def test_no_image_is_held_a_second_time_beside_the_data(make_folder: FolderMaker) -> None:
    folder = make_folder(cat=200)
    tracemalloc.start()  # it sees what Python holds, not the tensor
    data = read_image_folder(folder, 96, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < data.pixels.nbytes / 2


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read_image_folder(tmp_path / "nowhere", 8, 1)


def test_a_file_in_place_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: no such folder"):
        read_image_folder(tmp_path / "file", 8, 1)


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    with pytest.raises(DataError, match=r"holds no class folders; expected .*/<class>/<image>"):
        read_image_folder(tmp_path, 8, 1)


def test_empty_class_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="no readable image among 0 files"):
        read_image_folder(tmp_path, 8, 1)


def test_a_folder_of_unreadable_files_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    with pytest.raises(DataError, match=r"no readable image among 1 files; the first: .*notes\.txt"):
        read_image_folder(tmp_path, 8, 1)


def test_data_larger_than_the_limit_is_refused_in_gib_before_decoding(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for index in range(8):
        (tmp_path / "cat" / f"{index}.png").touch()
    with pytest.raises(DataError, match=r"8 images take 1\.5 GiB of memory, the limit is 1 GiB"):
        read_image_folder(tmp_path, 8192, 3, limit_gib=1.0)


def test_pixels_are_bytes_and_labels_are_int64(make_folder: FolderMaker) -> None:
    data = read_image_folder(make_folder(cat=1), 8, 1)
    assert (data.pixels.dtype, data.labels.dtype) == (torch.uint8, torch.int64)
