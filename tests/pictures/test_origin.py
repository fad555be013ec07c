"""Owns the law of origin: a picture that holds a request of ours is known, whatever its file is called."""

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pictures.origin import REQUEST_CHUNK, is_generated, request_chunks


def saved(file: Path, *chunks: str) -> Path:
    """A PNG with these text chunks."""
    text = PngInfo()
    for chunk in chunks:
        text.add_itxt(chunk, "{}")
    Image.new("L", (8, 8)).save(file, "PNG", pnginfo=text)
    return file


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a", "a.jpg"])
def test_a_picture_with_our_request_is_generated(tmp_path: Path, name: str) -> None:
    assert is_generated(saved(tmp_path / name, "Software", REQUEST_CHUNK))


@pytest.mark.parametrize("chunks", [(), ("Software",), ("tarflower",)])
def test_a_picture_without_is_not(tmp_path: Path, chunks: tuple[str, ...]) -> None:
    assert not is_generated(saved(tmp_path / "a.png", *chunks))


@pytest.mark.parametrize("content", [b"", b"tarflow", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_not(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert not is_generated(tmp_path / "a.png")


def test_every_text_chunk_of_ours_is_counted_of_whatever_sort(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text(REQUEST_CHUNK, "plain")
    text.add_text(REQUEST_CHUNK, "compressed", zip=True)
    text.add_itxt(REQUEST_CHUNK, "international")
    text.add_text("Software", REQUEST_CHUNK)
    text.add_text("tarflower", "another")
    Image.new("L", (8, 8)).save(tmp_path / "a.png", "PNG", pnginfo=text)
    assert request_chunks((tmp_path / "a.png").read_bytes()) == 3


@pytest.mark.parametrize("content", [b"", b"tarflow", b"\x89PNG\r\n\x1a\n" + b"\xff" * 8])
def test_what_is_no_png_has_none(content: bytes) -> None:
    assert request_chunks(content) == 0
