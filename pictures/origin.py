"""Whether a picture says that this service made it.

Owns the text chunk that holds a picture's request. Knows nothing of requests.
"""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

REQUEST_CHUNK = "tarflow"


def is_generated(file: Path) -> bool:
    """Whether the file is a picture with a request of ours in a text chunk."""
    try:
        with Image.open(file) as image:
            return REQUEST_CHUNK in image.info
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return False
