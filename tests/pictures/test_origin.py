"""Owns the laws of origin: a picture that holds a request of ours is known, and so is what else its file holds."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pictures.origin import REQUEST_CHUNK, is_generated, is_written_as_ours, request_chunks


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


def test_a_picture_with_texts_alone_is_written_as_ours(tmp_path: Path) -> None:
    assert is_written_as_ours(saved(tmp_path / "a.png", "Software", REQUEST_CHUNK).read_bytes())


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"gAMA", struct.pack(">I", 1)),
        chunk(b"tRNS", b"\0\0"),
        chunk(b"acTL", bytes(8)),
        chunk(b"zTXt", b"a\0\0"),
        chunk(b"IEND", b""),
    ],
    ids=lambda extra: str(extra[4:8]),
)
def test_a_picture_with_another_chunk_is_not(extra: bytes, tmp_path: Path) -> None:
    content = saved(tmp_path / "a.png", REQUEST_CHUNK).read_bytes()
    place = content.index(b"IDAT") - 4
    assert not is_written_as_ours(content[:place] + extra + content[place:])


@pytest.mark.parametrize("after", [b"x", bytes(10_000)])
def test_a_picture_with_bytes_after_its_end_is_not(after: bytes, tmp_path: Path) -> None:
    assert not is_written_as_ours(saved(tmp_path / "a.png", REQUEST_CHUNK).read_bytes() + after)


@pytest.mark.parametrize("content", [b"", b"tarflow", b"\x89PNG\r\n\x1a\n" + b"\xff" * 8])
def test_what_is_no_png_is_not_written_as_ours(content: bytes) -> None:
    assert not is_written_as_ours(content)
