"""Owns the laws of what `POST /score` reads: one image, or a form of them, and no more than the limit."""

import gzip
from collections.abc import Callable, Iterator

import httpx
import pytest

from service.uploads import MEDIA_TYPES
from tests.service.conftest import MAX_IMAGE_PIXELS, MAX_UPLOAD_BYTES
from tests.service.image_files import encoded, plain
from tests.service.problem_answers import fields_of, problem_of
from worker.contract import IMAGE_FORMATS

Ask = Callable[..., httpx.Response]
PNG_TYPE = {"Content-Type": "image/png"}
AT_ONCE = {"Prefer": "respond-async"}
SMALL = encoded(plain("L", (28, 28), 0), "PNG")
LIMIT = f"body: may have at most {MAX_UPLOAD_BYTES} bytes"


def files(count: int, name: str = "image", content: bytes = SMALL) -> list[tuple[str, tuple[str, bytes, str]]]:
    """So many files of a form."""
    return [(name, ("seven.png", content, "image/png"))] * count


def pieces(size: int) -> Iterator[bytes]:
    """A body of so many bytes whose length its sender does not say."""
    for start in range(0, size, 4096):
        yield bytes(min(4096, size - start))


@pytest.mark.parametrize(("media_type", "file_format"), list(zip(MEDIA_TYPES, IMAGE_FORMATS, strict=True)))
def test_an_image_of_every_type_that_is_read_is_scored(media_type: str, file_format: str, score: Ask) -> None:
    content = encoded(plain("L", (28, 28), 0), file_format)
    assert score(content=content, headers={"Content-Type": media_type}).status_code == 200


def test_the_type_may_have_parameters_and_capitals(api: httpx.Client) -> None:
    answer = api.post("/score", content=SMALL, headers={"Content-Type": "Image/PNG; charset=binary", **AT_ONCE})
    assert answer.status_code == 202


def test_what_counts_is_the_image_and_not_what_its_type_claims(api: httpx.Client) -> None:
    assert api.post("/score", content=SMALL, headers={"Content-Type": "image/bmp", **AT_ONCE}).status_code == 202


@pytest.mark.parametrize("path", ["/score", "/encode", "/decode", "/interpolate", "/verify"])
@pytest.mark.parametrize("encoding", ["gzip", "identity, br"])
def test_a_compressed_body_is_unsupported(path: str, encoding: str, api: httpx.Client) -> None:
    headers = {"Content-Type": "image/png", "Content-Encoding": encoding}
    answer = api.post(path, content=gzip.compress(SMALL), headers=headers)
    assert problem_of(answer, 415)["detail"] == f"Content-Encoding: '{encoding}' is not read; send the body as it is"
    assert answer.headers["Accept-Encoding"] == "identity"


def test_a_body_that_says_it_is_as_it_is_is_read(api: httpx.Client) -> None:
    headers = {"Content-Type": "image/png", "Content-Encoding": "identity", **AT_ONCE}
    assert api.post("/score", content=SMALL, headers=headers).status_code == 202


@pytest.mark.parametrize("count", [1, 2, 64])
def test_a_form_of_files_gives_a_result_for_each(count: int, score: Ask) -> None:
    assert len(score(files=files(count)).json()["results"]) == count


@pytest.mark.parametrize("media_type", ["image/gif", "application/json", "application/x-www-form-urlencoded", "png"])
def test_another_type_is_unsupported_and_told_which_are_read(media_type: str, api: httpx.Client) -> None:
    detail = problem_of(api.post("/score", content=SMALL, headers={"Content-Type": media_type}), 415)["detail"]
    assert detail.startswith(f"Content-Type: '{media_type}'")
    assert detail.endswith(f"send {', '.join(MEDIA_TYPES)} or multipart/form-data")


def test_a_body_without_a_type_is_unsupported(api: httpx.Client) -> None:
    assert problem_of(api.post("/score", content=SMALL), 415)["detail"].startswith("Content-Type: ''")


def test_an_empty_body_is_refused(api: httpx.Client) -> None:
    assert fields_of(api.post("/score", headers=PNG_TYPE)) == {"body body": "is empty; send the bytes of one image"}


@pytest.mark.parametrize("content", [b"seven", encoded(plain("L", (28, 28), 0), "GIF")])
def test_a_body_that_is_no_image_is_refused(content: bytes, api: httpx.Client) -> None:
    answer = api.post("/score", content=content, headers=PNG_TYPE)
    assert fields_of(answer) == {"body body": "is no PNG, JPEG, WEBP or BMP image"}


def test_an_image_of_too_many_pixels_is_refused_with_the_limit(api: httpx.Client) -> None:
    content = encoded(plain("1", (MAX_IMAGE_PIXELS + 1, 1), 0), "PNG")
    message = fields_of(api.post("/score", content=content, headers=PNG_TYPE))["body body"]
    assert message == f"may have at most {MAX_IMAGE_PIXELS} pixels, it has {MAX_IMAGE_PIXELS + 1} x 1"


def test_of_several_files_the_bad_one_is_named(api: httpx.Client) -> None:
    answer = api.post("/score", files=[*files(2), *files(1, content=b"seven")])
    assert fields_of(answer) == {"body image[2]": "is no PNG, JPEG, WEBP or BMP image"}


@pytest.mark.parametrize("count", [65, 100])
def test_too_many_files_are_refused_with_the_limit(count: int, api: httpx.Client) -> None:
    assert fields_of(api.post("/score", files=files(count))) == {"body image": f"takes 1..64 files, got {count} files"}


def test_files_under_another_name_are_refused_by_that_name(api: httpx.Client) -> None:
    assert fields_of(api.post("/score", files=files(1, "picture"))) == {
        "body picture": "is unknown; files are named 'image'"
    }


def test_a_field_that_is_no_file_is_refused(api: httpx.Client) -> None:
    answer = api.post("/score", files=files(1), data={"image": "seven"})
    assert fields_of(answer) == {"body image": "takes 1..64 files, got a field that is no file"}


def test_a_form_without_files_is_refused(api: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = api.post("/score", content=b"--x--\r\n", headers=headers)
    assert fields_of(answer) == {"body image": "takes 1..64 files, got 0 files"}


@pytest.mark.parametrize("boundary", ["", "; boundary=x"])
def test_a_form_that_cannot_be_read_is_refused(boundary: str, api: httpx.Client) -> None:
    headers = {"Content-Type": f"multipart/form-data{boundary}"}
    answer = api.post("/score", content=b"seven", headers=headers)
    assert fields_of(answer)["body body"].startswith("is no multipart/form-data that can be read")


def test_a_body_whose_length_is_over_the_limit_is_refused(api: httpx.Client) -> None:
    answer = api.post("/score", content=bytes(MAX_UPLOAD_BYTES + 1), headers=PNG_TYPE)
    assert problem_of(answer, 413)["detail"].startswith(LIMIT)


def test_a_body_of_untold_length_is_refused_when_it_passes_the_limit(api: httpx.Client) -> None:
    answer = api.post("/score", content=pieces(MAX_UPLOAD_BYTES + 1), headers=PNG_TYPE)
    assert problem_of(answer, 413)["detail"].startswith(LIMIT)


def test_a_form_of_untold_length_is_refused_when_it_passes_the_limit(api: httpx.Client) -> None:
    def form() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="seven.png"\r\n\r\n'
        yield from pieces(MAX_UPLOAD_BYTES)

    answer = api.post("/score", content=form(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert problem_of(answer, 413)["detail"].startswith(LIMIT)


@pytest.mark.parametrize("body", [bytes(MAX_UPLOAD_BYTES), pieces(MAX_UPLOAD_BYTES)], ids=["told", "untold"])
def test_a_body_of_just_the_limit_is_read(body: bytes | Iterator[bytes], api: httpx.Client) -> None:
    assert "is no PNG" in fields_of(api.post("/score", content=body, headers=PNG_TYPE))["body body"]


def test_an_image_that_is_refused_leaves_nothing_in_redis(
    api: httpx.Client, redis_names: Callable[[], set[str]]
) -> None:
    before = redis_names()
    api.post("/score", files=[*files(2), *files(1, content=b"seven")])
    assert redis_names() == before
