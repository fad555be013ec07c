"""Pictures as PNG files that say how they were made.

Owns the encoding, the text chunks and the contact sheet. Knows nothing of models or queues.
"""

import io
import json
import math

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from model.pixels import contact_sheet
from pictures.origin import REQUEST_CHUNK
from worker.contract import GenerateRequest, ModelFacts

SOFTWARE = "tarflow-service"


def encode_pictures(pixels: Tensor, request: GenerateRequest, facts: ModelFacts) -> dict[str, bytes]:
    """PNGs of uint8 pixels (n, C, H, W): fields `0`.. for each image, and `sheet` where there are several."""
    files = {}
    for index, seed in enumerate(request.seeds):
        alone = request.model_copy(update={"seed": seed, "n": 1})
        files[str(index)] = _png(pixels[index], alone, facts)
    if request.n > 1:
        files["sheet"] = _png(_laid_out(pixels), request, facts)
    return files


def encode_preview(pixels: Tensor) -> bytes:
    """A PNG of uint8 pixels (n, C, H, W) on their way, laid out as the pictures will be; it claims nothing."""
    return _file(_laid_out(pixels), PngInfo())


def _png(pixels: Tensor, request: GenerateRequest, facts: ModelFacts) -> bytes:
    """A PNG of uint8 pixels (C, H, W) with its request in a text chunk."""
    text = PngInfo()
    text.add_text("Software", SOFTWARE)
    text.add_itxt(REQUEST_CHUNK, json.dumps(describe(request, facts), ensure_ascii=False))
    return _file(pixels, text)


def _laid_out(pixels: Tensor) -> Tensor:
    """The picture itself, (C, H, W), or a sheet of several, in a square."""
    return pixels[0] if len(pixels) == 1 else contact_sheet(pixels, columns=math.ceil(math.sqrt(len(pixels))))


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
