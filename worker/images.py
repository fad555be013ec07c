"""Pictures as PNG files that say how they were made.

Owns the encoding, the text chunks and the contact sheet. Knows nothing of models or queues.
"""

import io
import json
import math
from collections.abc import Mapping

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from model.pixels import contact_sheet
from pictures.origin import REQUEST_CHUNK
from worker.contract import SHEET_MARGIN, GenerateRequest, ModelFacts

SOFTWARE = "tarflow-service"


def encode_pictures(pixels: Tensor, request: GenerateRequest, facts: ModelFacts) -> dict[str, bytes]:
    """PNGs of uint8 pixels (n, C, H, W): fields `0`.. for each image, and `sheet` where there are several."""
    files = {}
    for index, seed in enumerate(request.seeds):
        alone = request.model_copy(update={"seed": seed, "n": 1})
        files[str(index)] = _png(pixels[index], describe(alone, facts))
    if request.n > 1:
        files["sheet"] = _png(laid_out(pixels), describe(request, facts))
    return files


def encode_sheet(pixels: Tensor, words: Mapping[str, object]) -> dict[str, bytes]:
    """PNGs of uint8 pixels (n, C, H, W) that say the same of themselves, the `sheet` of several in one row."""
    files = {str(index): _png(each, words) for index, each in enumerate(pixels)}
    if len(pixels) > 1:
        files["sheet"] = _png(contact_sheet(pixels, len(pixels), SHEET_MARGIN), words)
    return files


def encode_preview(pixels: Tensor) -> bytes:
    """A PNG of uint8 pixels (n, C, H, W) on their way, laid out as the pictures will be; it claims nothing."""
    return _file(laid_out(pixels), PngInfo())


def _png(pixels: Tensor, words: Mapping[str, object]) -> bytes:
    """A PNG of uint8 pixels (C, H, W) with how it was made in a text chunk."""
    text = PngInfo()
    text.add_text("Software", SOFTWARE)
    text.add_itxt(REQUEST_CHUNK, json.dumps(words, ensure_ascii=False))
    return _file(pixels, text)


def laid_out(pixels: Tensor) -> Tensor:
    """The picture itself, (C, H, W), or a sheet of several, in a square."""
    columns = math.ceil(math.sqrt(len(pixels)))
    return pixels[0] if len(pixels) == 1 else contact_sheet(pixels, columns, SHEET_MARGIN)


def _file(pixels: Tensor, text: PngInfo) -> bytes:
    channels, height, width = pixels.shape
    content = pixels.permute(1, 2, 0).contiguous().numpy().tobytes()
    image = Image.frombytes("L" if channels == 1 else "RGB", (width, height), content)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=text)
    return file.getvalue()


def describe(request: GenerateRequest, facts: ModelFacts) -> dict[str, object]:
    """A request in the words of `POST /generate`, with which it can be made again."""
    return {
        "model": request.model,
        "model_digest": request.model_digest,
        "class": None if request.class_index < 0 else request.class_index,
        "class_name": facts.class_name(request.class_index),
        "guidance": request.guidance,
        "n": request.n,
        "seed": request.seed,
        "denoise": request.denoise,
        "attention_temperature": request.attention_temperature,
    }
