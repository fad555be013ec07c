"""A body of images as uploads.

Owns which bodies are read: plain ones, one image, or a form of files named `image`. Knows nothing of
what an image is.
"""

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from pictures.fitting import in_words
from service.errors import BodyTooLarge, InvalidInput, UnsupportedType
from service.uploads import MEDIA_TYPES, Upload
from worker.contract import MAX_FILES

FORM = "multipart/form-data"
FIELD = "image"


@dataclass(frozen=True)
class Wanted:
    """What a route reads: so many files, and the types of a body that is one of them; none = a form alone."""

    fewest: int = 1
    most: int = 1
    media_types: tuple[str, ...] = MEDIA_TYPES

    def in_words(self) -> str:
        """How many files."""
        return f"{self.fewest}..{self.most} files" if self.fewest < self.most else _files(self.most)


ONE_TO_MANY = Wanted(most=MAX_FILES)


async def read_uploads(request: Request, max_bytes: int, wanted: Wanted = ONE_TO_MANY) -> list[Upload]:
    """The uploads of a request, in order.

    Raises:
        UnsupportedType: Neither an image type that is wanted nor a form, or compressed.
        BodyTooLarge: Over `max_bytes`, by its header or as it is read.
        InvalidInput: A form without files named `image`, with other fields, with too few or too many.
    """
    check_plain(request)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise BodyTooLarge(f"body: may have at most {max_bytes} bytes (TARFLOW_MAX_UPLOAD_BYTES), it has {length}")
    media_type = media_type_of(request)
    if media_type in wanted.media_types:
        # Not `request.body()`, which the request would keep for as long as its client waits.
        return [Upload("body", b"".join([chunk async for chunk in request.stream()]))]
    if media_type == FORM:
        return await _form_uploads(request, wanted)
    raise UnsupportedType(
        f"Content-Type: {media_type[:100]!r} is not read; send {in_words((*wanted.media_types, FORM))}"
    )


def media_type_of(request: Request) -> str:
    """The type that a body is said to be of, without its parameters; "" where it is not said."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def check_plain(request: Request) -> None:
    """Raise UnsupportedType where a body is compressed: a small one could become any size."""
    encoding = ", ".join(request.headers.getlist("content-encoding"))
    if encoding.strip().lower() not in ("", "identity"):
        message = f"Content-Encoding: {encoding[:100]!r} is not read; send the body as it is"
        raise UnsupportedType(message, headers={"Accept-Encoding": "identity"})


async def _form_uploads(request: Request, wanted: Wanted) -> list[Upload]:
    try:
        # The bound on files is ours to answer for, with the field's name: the parser's is only a backstop.
        async with request.form(max_files=1000, max_fields=1000) as form:
            entries = form.multi_items()
            if unknown := sorted({name for name, _ in entries if name != FIELD}):
                raise InvalidInput.of(unknown[0][:100], "body", f"is unknown; files are named {FIELD!r}")
            files = [value for _, value in entries if isinstance(value, UploadFile)]
            if not wanted.fewest <= len(files) <= wanted.most or len(files) < len(entries):
                found = _files(len(files)) if len(files) == len(entries) else "a field that is no file"
                raise InvalidInput.of(FIELD, "body", f"takes {wanted.in_words()}, got {found}")
            return [Upload(f"{FIELD}[{index}]", await file.read()) for index, file in enumerate(files)]
    except HTTPException as error:
        raise InvalidInput.of("body", "body", f"is no {FORM} that can be read: {error.detail}") from error


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"
