"""Laws of the way there and back: an image's noise gives the image, and a picture's own words give the picture."""

import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor

from model import TarFlow
from tests.worker.conftest import Edit, EngineMaker, generate_request, made
from worker.contract import (
    DecodeRequest,
    EncodeRequest,
    EncodeResult,
    GenerateRequest,
    InterpolateRequest,
    PictureRequest,
    ScoreInput,
    VerifyRequest,
    VerifyResult,
)
from worker.engine import Engine, Pictures
from worker.errors import JobError
from worker.images import laid_out
from worker.painting import Painting
from worker.picture_jobs import PictureJob, paint_all
from worker.way_back import arc

IMAGE = ScoreInput(sha256="0")


def finished(engine: Engine, *work: tuple[PictureRequest, bytes | None]) -> list[tuple[Any, Any, Pictures]]:
    """Results, files and pictures of requests and their bytes, done in one batch."""
    done = []
    for each in paint_all(engine, [PictureJob.of(*each) for each in work]):
        answer = each.answer(engine)
        assert isinstance(each.made, Pictures)
        assert not isinstance(answer, JobError)
        done.append((*answer, each.made))
    return done


def encode(engine: Engine, class_index: int = 1) -> EncodeRequest:
    """A request to encode one image."""
    return EncodeRequest(model="tiny", model_digest=engine.digest, class_index=class_index, image=IMAGE)


def decode(engine: Engine, like: GenerateRequest) -> DecodeRequest:
    """A request to decode latents as a generation would."""
    told = like.model_dump(
        include={"model", "model_digest", "class_index", "guidance", "denoise", "attention_temperature"}
    )
    return DecodeRequest(**told, latents_sha256=hashlib.sha256(engine.digest.encode()).hexdigest())


def verify(engine: Engine, claim: GenerateRequest, pixels: Tensor) -> tuple[VerifyRequest, bytes]:
    """A request to verify pixels (C, H, W), and the pixels."""
    channels, height, width = pixels.shape
    size: dict[str, Any] = {"channels": channels, "height": height, "width": width}
    words: dict[str, Any] = {"model": "tiny", "model_digest": engine.digest, "claim": claim, "class_name": "dog"}
    return VerifyRequest(**words, sha256="0", **size), content(pixels)


def content(pixels: Tensor) -> bytes:
    """Pixels as they travel."""
    return pixels.numpy().tobytes()


def image(seed: int = 0) -> Tensor:
    """Random pixels (1, 8, 8)."""
    return torch.randint(256, (1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def noise(engine: Engine, request: GenerateRequest) -> bytes:
    """The noise that a generation of one picture begins with, as it travels."""
    config = engine.flow.config
    return Painting.seeded(request, (config.patches, config.patch_dims)).noise.numpy().tobytes()


@pytest.mark.parametrize("change", [{}, {"guidance": 0.0}, {"denoise": False}, {"class_index": -1, "seed": 8}])
def test_latents_decode_to_the_picture_that_is_generated_from_that_noise(
    engine: Engine, change: dict[str, Any]
) -> None:
    request = generate_request(engine, **change)
    (generated,) = made(engine, request)
    ((_, _, decoded),) = finished(engine, (decode(engine, request), noise(engine, request)))
    assert torch.equal(decoded.images, generated.images)


def test_an_image_comes_back_from_its_latents(engine: Engine) -> None:
    ((result, files, pictures),) = finished(engine, (encode(engine), content(image())))
    assert torch.equal(pictures.pixels[0], image())
    assert result.changed_values == 0
    assert 0 < result.rms_error <= result.max_abs_error < 1e-4
    plain = generate_request(engine, guidance=0.0, denoise=False)
    ((_, _, decoded),) = finished(engine, (decode(engine, plain), files["latents"]))
    assert torch.equal(decoded.pixels[0], image())


def widen(flow: TarFlow) -> None:
    """Let the prior of a volume-preserving flow be another than the standard one."""
    flow.var.fill_(4.0)


@pytest.mark.parametrize(
    ("edit", "changes"),
    [(None, {"noise_type": "uniform"}), (widen, {"volume_preserving": True}), (None, {"num_classes": 0})],
)
def test_an_image_comes_back_through_flows_of_every_kind(
    edit: Edit | None, changes: dict[str, Any], make_engine: EngineMaker
) -> None:
    engine = make_engine(edit, **changes)
    ((result, files, _),) = finished(engine, (encode(engine, -1), content(image())))
    assert isinstance(result, EncodeResult)
    assert result.changed_values == 0
    plain = generate_request(engine, class_index=-1, guidance=0.0, denoise=False)
    ((_, _, decoded),) = finished(engine, (decode(engine, plain), files["latents"]))
    assert torch.equal(decoded.pixels[0], image())


def test_an_encoding_is_the_same_alone_and_among_others(engine: Engine) -> None:
    alone = finished(engine, (encode(engine), content(image())))[0][1]
    request = generate_request(engine, n=5)
    among = finished(
        engine, (request, None), (encode(engine), content(image())), (encode(engine, 2), content(image(1)))
    )
    assert among[1][1] == alone


def test_an_interpolation_has_its_images_at_its_ends(engine: Engine) -> None:
    request = InterpolateRequest(model="tiny", model_digest=engine.digest, class_index=1, n=5, ends=(IMAGE, IMAGE))
    ((_, files, pictures),) = finished(engine, (request, content(image(1)) + content(image(2))))
    assert torch.equal(pictures.pixels[0], image(1))
    assert torch.equal(pictures.pixels[-1], image(2))
    assert set(files) == {"0", "1", "2", "3", "4", "sheet"}


def test_an_arc_keeps_to_the_sphere_of_its_ends() -> None:
    one, other = torch.randn(2, 4, 16, dtype=torch.float64)
    points = arc((one / one.norm()).float(), (other / other.norm()).float(), 9)
    torch.testing.assert_close(points.flatten(1).norm(dim=1), torch.ones(9))


def test_an_arc_goes_in_even_steps() -> None:
    points = arc(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 4)
    angles = torch.atan2(points[:, 0, 1], points[:, 0, 0])
    torch.testing.assert_close(angles, torch.linspace(0, torch.pi / 2, 4))


def test_between_an_image_and_itself_is_the_image() -> None:
    one = torch.randn(4, 16)
    torch.testing.assert_close(arc(one, one, 3), one.expand(3, 4, 16))


@pytest.mark.parametrize("n", [1, 3])
def test_a_picture_is_what_it_claims(engine: Engine, n: int) -> None:
    request = generate_request(engine, n=n)
    (generated,) = made(engine, request)
    ((result, files, _),) = finished(engine, verify(engine, request, laid_out(generated.pixels)))
    assert (result.max_difference, result.differing_values, files) == (0, 0, {})


def test_a_picture_that_was_changed_is_not_what_it_claims(engine: Engine) -> None:
    request = generate_request(engine)
    (generated,) = made(engine, request)
    pixels = generated.pixels[0].clone()
    pixels[0, 3, 4] ^= 128
    ((result, _, _),) = finished(engine, verify(engine, request, pixels))
    assert (result.max_difference, result.differing_values) == (128, 1)


def test_the_class_of_a_claim_is_told_as_the_model_calls_it(engine: Engine) -> None:
    requests = [generate_request(engine, class_index=index) for index in (-1, 2)]
    pixels = [each.pixels[0] for each in made(engine, *requests)]
    found = finished(engine, *(verify(engine, *each) for each in zip(requests, pixels, strict=True)))
    assert [result.class_name for result, _, _ in found] == [None, "owl"]


def test_a_picture_of_another_size_is_not_compared(engine: Engine) -> None:
    ((result, _, _),) = finished(
        engine, verify(engine, generate_request(engine), torch.zeros(1, 9, 8, dtype=torch.uint8))
    )
    assert result == VerifyResult(class_name="dog", width=8, height=8, channels=1)


def test_what_is_gone_fails_alone(engine: Engine) -> None:
    with pytest.raises(JobError, match="is gone"):
        PictureJob.of(encode(engine), None)
