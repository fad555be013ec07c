"""Laws of what overflows float32: whose fault it is, what is answered, and that nobody else is touched by it."""

from typing import Any

import pytest
import torch
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus

from model import TarFlow
from model.guidance import Rule
from tests.worker.conftest import Edit, EngineMaker, QueueWork, generate_request, made, overflow, reloaded, scale_class
from tests.worker.test_picture_jobs import IMAGE, content, decode, encode, image, verify
from worker import picture_jobs
from worker.contract import (
    EncodeResult,
    InterpolateRequest,
    Kind,
    PictureRequest,
    VerifyResult,
    input_key,
    pace_key,
    queue_name,
)
from worker.engine import Engine
from worker.errors import JobError, NonFiniteSample, Overflow
from worker.handlers import Handlers
from worker.metrics import WorkerMetrics
from worker.painter import PaintedRows, Painter
from worker.picture_jobs import Answer, PaintedJob, PictureJob, paint_all
from worker.way_back import arc, noise_of

BLACK, GREY, WHITE = (torch.full((1, 8, 8), level, dtype=torch.uint8) for level in (0, 128, 255))


def shrink(flow: TarFlow) -> None:
    """Let the latents of every image overflow under class 0, and no picture."""
    scale_class(flow, log_scale=-100.0)


def shrink_extremes(flow: TarFlow) -> None:
    """Let the latents of black and white overflow under class 0, and not those of grey."""
    let_class_alone_say(flow, log_scale=-45.5)


def overflow_seldom(flow: TarFlow) -> None:
    """Let pictures of class 0 overflow in one block where a value of their noise is beyond 2.5: of seeds 4 and 5."""
    let_class_alone_say(flow, log_scale=87.8)


def let_class_alone_say(flow: TarFlow, log_scale: float) -> None:
    """Give every patch of class 0 but the first this log-scale, and nothing else a say."""
    scale_class(flow, log_scale)
    for block in flow.blocks:
        block.proj_out.weight[flow.config.patch_dims :] = 0.0
        layers = [each for layer in block.attn_blocks for each in layer.parameters()]
        for each in (*layers, block.proj_in.bias, block.proj_out.bias):
            each.zero_()


def shift(flow: TarFlow) -> None:
    """Give class 0 such a mean that guidance of 20 overflows under both rules, and none does not."""
    scale_class(flow, log_scale=0.0)
    for block in flow.blocks:
        block.proj_out.weight[flow.config.patch_dims :] = 0.0
        block.proj_out.weight[flow.config.patch_dims :, 0] = 3e36


def interpolate(engine: Engine, n: int = 4) -> InterpolateRequest:
    """A request for the pictures between two images under class 0."""
    return InterpolateRequest(model="tiny", model_digest=engine.digest, class_index=0, n=n, ends=(IMAGE, IMAGE))


def painted(engine: Engine, *work: tuple[PictureRequest, bytes | None]) -> list[PaintedJob]:
    """What became of requests and their bytes, done in one batch."""
    return paint_all(engine, [PictureJob.of(*each) for each in work])


def answer(engine: Engine, request: PictureRequest, beside: bytes | None) -> Answer | JobError:
    """What a request alone is answered."""
    (each,) = painted(engine, (request, beside))
    return each.answer(engine)


def field(found: object) -> str | None:
    """What a request must change."""
    assert isinstance(found, Overflow)
    return found.field


def test_an_image_whose_latents_are_not_finite_is_at_fault(make_engine: EngineMaker) -> None:
    engine = make_engine(shrink)
    assert field(answer(engine, encode(engine, 0), content(image()))) == "image"


@pytest.mark.parametrize("edit", [overflow, None])
def test_an_image_that_does_not_come_back_has_latents_and_no_round_trip(
    edit: Edit | None, make_engine: EngineMaker
) -> None:
    engine = make_engine(edit)
    found = answer(engine, encode(engine, 0), content(image()))
    assert not isinstance(found, JobError)
    result, files = found
    assert isinstance(result, EncodeResult)
    known = [result.max_abs_error, result.rms_error, result.changed_values]
    assert [each is None for each in known] == [edit is overflow] * 3
    assert torch.frombuffer(bytearray(files["latents"]), dtype=torch.float32).isfinite().all()


@pytest.mark.parametrize(
    ("ends", "wild"),
    [((WHITE, GREY), "image[0]"), ((GREY, BLACK), "image[1]"), ((WHITE, BLACK), "image")],
    ids=["first", "second", "both"],
)
def test_of_two_images_the_one_whose_latents_are_not_finite_is_named(
    ends: tuple[Any, Any], wild: str, make_engine: EngineMaker
) -> None:
    engine = make_engine(shrink_extremes)
    assert field(answer(engine, interpolate(engine), b"".join(map(content, ends)))) == wild


@pytest.mark.parametrize(("lost", "wild"), [((0,), "image[0]"), ((1,), "image[1]"), ((0, 1), "image")])
def test_of_two_images_the_one_that_does_not_come_back_is_named(
    lost: tuple[int, ...], wild: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = [image(1), image(2)]

    def lose(flow: TarFlow, pixels: torch.Tensor, class_index: int) -> torch.Tensor:
        """Latents that are another image's."""
        (end,) = [index for index, each in enumerate(ends) if torch.equal(each, pixels)]
        return noise_of(flow, GREY if end in lost else pixels, class_index)

    monkeypatch.setattr(picture_jobs, "noise_of", lose)
    assert field(answer(engine, interpolate(engine), b"".join(map(content, ends)))) == wild


def test_images_that_come_back_are_not_at_fault_for_what_overflows_between_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stray(start: torch.Tensor, end: torch.Tensor, n: int) -> torch.Tensor:
        """A path that leads beyond float32 at its middle."""
        return arc(start, end, n).index_fill(0, torch.tensor(n // 2), torch.inf)

    monkeypatch.setattr(picture_jobs, "arc", stray)
    found = answer(engine, interpolate(engine, n=3), content(image(1)) + content(image(2)))
    assert field(found) == "n"
    assert isinstance(found, Overflow)
    assert found.failure.rows == (1,)


def test_images_between_which_no_picture_is_finite_are_at_fault(make_engine: EngineMaker) -> None:
    engine = make_engine(overflow)
    assert field(answer(engine, interpolate(engine), content(image(1)) + content(image(2)))) == "image"


@pytest.mark.parametrize("guidance", [0.0, 20.0])
def test_latents_that_give_no_finite_picture_are_at_fault_whatever_the_guidance(
    guidance: float, make_engine: EngineMaker
) -> None:
    engine = make_engine(overflow)
    request = decode(engine, generate_request(engine, class_index=0, guidance=guidance))
    assert field(answer(engine, request, torch.ones(4, 16).numpy().tobytes())) == "latents"


@pytest.mark.parametrize("n", [1, 3])
def test_guidance_that_overflows_under_every_rule_is_at_fault_where_all_is_finite_without(
    n: int, make_engine: EngineMaker
) -> None:
    engine = make_engine(shift, blocks=1)
    request = generate_request(engine, class_index=0, guidance=20.0, n=n, denoise=False)
    made(engine, request.model_copy(update={"guidance": 0.0}))
    assert field(answer(engine, request, None)) == "guidance"
    noise = torch.ones(4, 16).numpy().tobytes()
    assert field(answer(engine, decode(engine, request), noise)) == "guidance"


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_a_picture_that_is_finite_under_no_guidance_is_a_fault_of_ours(
    guidance: float, make_engine: EngineMaker
) -> None:
    engine = make_engine(overflow)
    found = answer(engine, generate_request(engine, class_index=0, guidance=guidance), None)
    assert isinstance(found, NonFiniteSample)


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_seeds_whose_noise_alone_gives_no_finite_picture_are_at_fault(
    guidance: float, make_engine: EngineMaker
) -> None:
    engine = make_engine(overflow_seldom, blocks=1)
    request = generate_request(engine, class_index=0, guidance=guidance, n=4, seed=4, denoise=False)
    found = answer(engine, request, None)
    assert field(found) == "seed"
    assert isinstance(found, Overflow)
    assert found.failure.rows == (0, 1)
    (each,) = painted(engine, (request, None))
    assert each.non_finite == 2


def test_a_claim_of_a_seed_that_gives_no_finite_picture_gives_none_to_compare(make_engine: EngineMaker) -> None:
    engine = make_engine(overflow_seldom, blocks=1)
    claim = generate_request(engine, class_index=0, guidance=0.0, seed=4, denoise=False)
    assert answer(engine, *verify(engine, claim, image())) == (VerifyResult(class_name="cat"), {})


def test_a_claim_that_the_weights_cannot_make_is_a_fault_of_ours(make_engine: EngineMaker) -> None:
    engine = make_engine(overflow)
    claim = generate_request(engine, class_index=0)
    assert isinstance(answer(engine, *verify(engine, claim, image())), NonFiniteSample)


def test_a_claim_of_guidance_that_overflows_gives_no_picture_to_compare(make_engine: EngineMaker) -> None:
    engine = make_engine(shift, blocks=1)
    claim = generate_request(engine, class_index=0, guidance=20.0, denoise=False)
    assert answer(engine, *verify(engine, claim, image())) == (VerifyResult(class_name="cat"), {})


def test_what_overflows_leaves_its_neighbours_as_they_are(make_engine: EngineMaker) -> None:
    engine = make_engine(shrink)
    sound, wild = (encode(engine), content(image(1))), (encode(engine, 0), content(image()))
    alone = answer(engine, *sound)
    beside = [each.answer(engine) for each in painted(engine, wild, sound, wild, (generate_request(engine), None))]
    assert beside[1] == alone
    assert [field(each) for each in (beside[0], beside[2])] == ["image"] * 2
    assert not isinstance(beside[3], JobError)


def test_a_batch_of_which_nothing_can_be_painted_is_answered(make_engine: EngineMaker) -> None:
    engine = make_engine(shrink)
    wild = (encode(engine, 0), content(image()))
    assert [field(each.answer(engine)) for each in painted(engine, wild, wild)] == ["image"] * 2


def test_what_is_plain_is_not_tried_by_the_other_rule(
    make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: list[Rule] = []
    engine, paint = make_engine(overflow), Painter.paint

    def note(self: Painter, rows: PaintedRows, rule: Rule, *more: Any) -> Any:
        rules.append(rule)
        return paint(self, rows, rule, *more)

    monkeypatch.setattr(Painter, "paint", note)
    engine.generate([generate_request(engine, class_index=0, guidance=0.0)])
    assert set(rules) == {"linear"}


def enqueue(connection: Redis, request: PictureRequest, beside: bytes) -> Job:
    """Queue a request and its bytes as the service does."""
    queue = Queue(queue_name(Kind.GENERATE, "tiny"), connection=connection, serializer="json")
    job: Job = queue.create_job("generate", args=(request.model_dump(mode="json"),))
    connection.set(input_key(job.id), beside)
    return queue.enqueue_job(job)


def test_a_job_that_fails_for_what_it_asks_is_counted_as_no_failure_of_ours(
    make_engine: EngineMaker, connection: Redis, work: QueueWork
) -> None:
    engine, metrics = make_engine(shrink), WorkerMetrics()
    job = enqueue(connection, encode(engine, 0), content(image()))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert reloaded(job).get_status() is JobStatus.FAILED
    assert reloaded(job).meta == {"failure_reason": "overflow", "failure_field": "image", "failure_rows": []}

    def count(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"model": "tiny", "kind": "generate", **labels})

    outcomes = {each: count("tarflow_jobs_total", outcome=each) for each in ("invalid", "failed", "succeeded")}
    assert outcomes == {"invalid": 1, "failed": 0, "succeeded": 0}
    assert count("tarflow_nonfinite_total") == 0
    assert count("tarflow_images_total") == 0
    assert not connection.exists(pace_key(Kind.GENERATE, "tiny"))
