"""The law that no upload, however damaged, is a fault of ours or hangs.

A seeded corpus of sound files, damaged in every way that a file can be; each is posted to a live service.
"""

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.uploads import MEDIA_TYPES
from tests.e2e.conftest import Site
from tests.service.image_files import COLOURS, GREY, PALETTE, encoded, noise, png_around
from tests.service.test_bad_uploads import SOUND, doubled, flipped, shortened, truncated

INPUTS = 800
AT_ONCE = 8
EACH_S = 60.0
EXAMPLES = 150
FEWEST_BYTES = 100  # of a file that is damaged twice

Damage = Callable[[bytes, random.Random], bytes]


def swapped(content: bytes, source: random.Random) -> bytes:
    """A file that goes on as another one."""
    other = SOUND[source.choice(sorted(SOUND))]
    at = source.randrange(len(content))
    return content[:at] + other[min(at, len(other) - 1) :]


def lengthened(content: bytes, source: random.Random) -> bytes:
    """A file with something after its end."""
    return content + source.randbytes(source.randrange(1, 2000))


def headless(_content: bytes, source: random.Random) -> bytes:
    """A beginning that is known, and nothing that fits to it."""
    return source.choice([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\xff\xff\xff\x7fWEBPVP8 ", b"BM"]) + (
        source.randbytes(source.randrange(200))
    )


def boasting(_content: bytes, source: random.Random) -> bytes:
    """A header that claims far more pixels than there are bytes."""
    width, height = (source.choice([1, 999, 65_535, 2**31 - 1]) for _ in range(2))
    depth, colours = source.choice([(1, GREY), (8, GREY), (16, GREY), (8, COLOURS), (8, PALETTE)])
    return png_around(width, height, depth, colours, (b"IDAT", zlib.compress(source.randbytes(source.randrange(100)))))


DAMAGES: tuple[Damage, ...] = (
    truncated, flipped, doubled, shortened, swapped, lengthened, headless, boasting,
)  # fmt: skip


def corpus() -> Iterator[tuple[str, bytes]]:
    """Media types and bodies; the same in every run."""
    source = random.Random(20241206)
    for index in range(INPUTS):
        name = source.choice(sorted(SOUND))
        content = DAMAGES[index % len(DAMAGES)](SOUND[name], source)
        if source.random() < 0.3 and len(content) > FEWEST_BYTES:
            content = source.choice(DAMAGES)(content, source)
        yield source.choice(MEDIA_TYPES), content


async def posted(site: Site, bodies: list[tuple[str, bytes]]) -> Counter[int]:
    """The statuses of the answers, every body posted once, a third of them in a form."""
    statuses: Counter[int] = Counter()
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=site.http.base_url, timeout=EACH_S, trust_env=False) as client:

        async def post(index: int, media_type: str, content: bytes) -> None:
            async with gate:
                if index % 3:
                    answer = await client.post("/score", content=content, headers={"Content-Type": media_type})
                else:
                    answer = await client.post("/score", files={"image": ("it", content, media_type)})
                statuses[answer.status_code] += 1

        await asyncio.gather(*(post(index, *body) for index, body in enumerate(bodies)))
    return statuses


@pytest.fixture(scope="module")
def bodies() -> list[tuple[str, bytes]]:
    """The corpus."""
    return list(corpus())


def test_the_corpus_is_large_and_mostly_damaged(bodies: list[tuple[str, bytes]]) -> None:
    assert len({content for _, content in bodies}) >= 700
    assert sum(content in SOUND.values() for _, content in bodies) < INPUTS // 20


def test_every_damaged_image_is_refused_or_scored(target: Site, bodies: list[tuple[str, bytes]]) -> None:
    statuses = asyncio.run(posted(target, bodies))
    assert sum(statuses.values()) == len(bodies)
    assert set(statuses) <= {200, 422}
    assert statuses[422] > 400
    assert statuses[200] > 20


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=2000), media_type=st.sampled_from([*MEDIA_TYPES, "multipart/form-data; boundary=it"]))
def test_any_bytes_at_all_are_refused(target: Site, content: bytes, media_type: str) -> None:
    answer = target.http.post("/score", content=content, headers={"Content-Type": media_type})
    assert answer.status_code == 422


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    mode=st.sampled_from(["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    file_format=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]),
)
def test_any_sound_image_is_scored(target: Site, size: tuple[int, int], mode: str, file_format: str) -> None:
    image = noise(size).convert("I" if mode == "I;16" else mode)
    try:
        content = encoded(image, file_format)
    except (OSError, ValueError, KeyError):  # There is no such file.
        return
    answer = target.http.post("/score", content=content, headers={"Content-Type": f"image/{file_format.lower()}"})
    assert answer.status_code == 200, answer.text
