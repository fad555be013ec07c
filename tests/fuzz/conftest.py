"""One `tarflow serve` with real workers and a real Redis, for everything that is thrown at it.

Owns the service of the session. Knows no law.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Launcher, Site, launcher, tiny

__all__ = ["launcher", "target", "tiny"]

MAX_IMAGE_PIXELS = "1000000"


@pytest.fixture(scope="session")
def target(launcher: Launcher, tiny: str) -> Iterator[Site]:
    """A service of the tiny model, which logs in JSON."""
    settings = {"log_format": "json", "max_image_pixels": MAX_IMAGE_PIXELS, "max_upload_bytes": "2000000"}
    with launcher.serving("--models", tiny, **settings) as site:
        yield site
