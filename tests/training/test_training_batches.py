"""Owns the laws of batches: which images, labels and noise a step sees, on one process or on several."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model import TarFlowConfig
from training.batches import Batches, place
from training.image_folder import ImageFolder

CPU = torch.device("cpu")
IMAGES, CLASSES = 50, 5
GAUSSIAN = TarFlowConfig(8, 4, 16, 1, 1, in_channels=1, head_dim=16, num_classes=CLASSES, noise_std=0.05)
UNIFORM = replace(GAUSSIAN, noise_type="uniform")
QUIET = replace(GAUSSIAN, noise_std=0.0)
GREY_LEVEL = 1 / 128


@pytest.fixture
def data() -> ImageFolder:
    """50 images, each of one grey level that is its number, in 5 classes."""
    pixels = torch.arange(IMAGES, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    return ImageFolder(pixels, torch.arange(IMAGES) % CLASSES, tuple("abcde"), ())


@pytest.fixture
def batches(data: ImageFolder) -> Batches:
    """Batches of 8 without noise or dropped labels: 6 steps an epoch, 2 images left over."""
    return Batches(data, QUIET, batch_size=8, label_drop=0.0, seed=0)


@pytest.fixture
def black(data: ImageFolder) -> ImageFolder:
    """The same folder, every pixel 0: what is added to -1 is noise."""
    return replace(data, pixels=torch.zeros_like(data.pixels))


def noise_of(batches: Batches, step: int = 0) -> Tensor:
    """What a step adds to black images."""
    return batches.at(step, CPU)[0] + 1


def numbers(images: Tensor) -> list[int]:
    """Which images of the noiseless data these are."""
    return [round(value) for value in ((images[:, 0, 0, 0] + 1) * 127.5).tolist()]


def epoch_of(batches: Batches, epoch: int) -> list[int]:
    """The images of an epoch, in order."""
    steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
    return [number for step in steps for number in numbers(batches.at(step, CPU)[0])]


def test_an_epoch_is_the_whole_batches_in_the_data(batches: Batches) -> None:
    assert batches.steps_per_epoch == IMAGES // 8


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_visits_every_image_at_most_once(batches: Batches, epoch: int) -> None:
    seen = epoch_of(batches, epoch)
    assert len(set(seen)) == len(seen) == 48


def test_epochs_come_in_different_orders(batches: Batches) -> None:
    assert epoch_of(batches, 0) != epoch_of(batches, 1)


def test_over_epochs_every_image_is_visited(batches: Batches) -> None:
    assert {number for epoch in range(5) for number in epoch_of(batches, epoch)} == set(range(IMAGES))


def test_every_image_keeps_its_own_label(batches: Batches) -> None:
    images, labels = batches.at(3, CPU)
    assert labels is not None
    assert labels.tolist() == [number % CLASSES for number in numbers(images)]


def test_a_step_is_the_same_whenever_it_is_asked_for(data: ImageFolder) -> None:
    first, second = (Batches(data, GAUSSIAN, 8, 0.5, seed=3).at(11, CPU) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_another_seed_is_another_order(batches: Batches) -> None:
    assert epoch_of(batches, 0) != epoch_of(replace(batches, seed=1), 0)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_another_seed_is_other_noise(black: ImageFolder, seed: int) -> None:
    # The seeds differ in low and in high bits; torch's generator alone would lose some of them.
    ours, theirs = (noise_of(Batches(black, GAUSSIAN, IMAGES, 0.0, other)) for other in (seed, seed ^ 5))
    assert not torch.equal(ours, theirs)


@pytest.mark.parametrize("world", [2, 4])
def test_the_processes_batches_partition_the_batch_of_one(batches: Batches, world: int) -> None:
    for step in range(2 * batches.steps_per_epoch):
        shares = [numbers(replace(batches, rank=rank, world=world).at(step, CPU)[0]) for rank in range(world)]
        assert [number for share in shares for number in share] == numbers(batches.at(step, CPU)[0])


def test_processes_draw_different_noise(black: ImageFolder) -> None:
    first, second = (noise_of(Batches(black, GAUSSIAN, 8, 0.0, 0, rank, world=2)) for rank in range(2))
    assert not torch.equal(first, second)


def test_steps_draw_different_noise(black: ImageFolder) -> None:
    batches = Batches(black, GAUSSIAN, 8, 0.0, 0)
    assert not torch.equal(noise_of(batches, step=0), noise_of(batches, step=1))


def test_labels_are_dropped_in_the_stated_share(data: ImageFolder) -> None:
    batches = Batches(data, QUIET, IMAGES, label_drop=0.1, seed=0)
    labels = torch.cat([labels for step in range(200) if (labels := batches.at(step, CPU)[1]) is not None])
    standard_error = (0.1 * 0.9 / len(labels)) ** 0.5
    assert (labels == -1).float().mean().item() == pytest.approx(0.1, abs=4 * standard_error)


def test_a_label_is_dropped_to_no_class_or_kept(data: ImageFolder) -> None:
    images, labels = Batches(data, QUIET, IMAGES, label_drop=0.5, seed=0).at(0, CPU)
    assert labels is not None
    kept = labels != -1
    assert labels[kept].tolist() == [n % CLASSES for n, keep in zip(numbers(images), kept, strict=True) if keep]


@pytest.mark.parametrize(("label_drop", "dropped"), [(0.0, 0), (1.0, IMAGES)])
def test_no_label_or_every_label_is_dropped_at_the_bounds(data: ImageFolder, label_drop: float, dropped: int) -> None:
    _, labels = Batches(data, QUIET, IMAGES, label_drop, seed=0).at(0, CPU)
    assert labels is not None
    assert int((labels == -1).sum()) == dropped


def test_an_unconditional_flow_gets_no_labels(data: ImageFolder) -> None:
    _, labels = Batches(data, replace(QUIET, num_classes=0), 8, 0.1, 0).at(0, CPU)
    assert labels is None


@pytest.mark.parametrize("noise_std", [0.05, 0.3])
def test_gaussian_noise_has_the_stated_standard_deviation(black: ImageFolder, noise_std: float) -> None:
    noise = noise_of(Batches(black, replace(GAUSSIAN, noise_std=noise_std), IMAGES, 0.0, 0))
    assert noise.std().item() == pytest.approx(noise_std, rel=4 / (2 * noise.numel()) ** 0.5)


def test_gaussian_noise_has_no_mean(black: ImageFolder) -> None:
    noise = noise_of(Batches(black, GAUSSIAN, IMAGES, 0.0, 0))
    assert noise.mean().item() == pytest.approx(0, abs=4 * GAUSSIAN.noise_std / noise.numel() ** 0.5)


def test_uniform_noise_stays_within_one_grey_level(black: ImageFolder) -> None:
    noise = noise_of(Batches(black, UNIFORM, IMAGES, 0.0, 0))
    assert noise.min() >= 0
    assert noise.max() < GREY_LEVEL


@pytest.fixture
def slopes(data: ImageFolder) -> ImageFolder:
    """The same folder, every row of every image 0, 1, ... 7."""
    return replace(data, pixels=torch.arange(8, dtype=torch.uint8).expand(IMAGES, 1, 8, 8))


def test_half_of_the_images_are_mirrored_where_asked(slopes: ImageFolder) -> None:
    batches = Batches(slopes, QUIET, IMAGES, 0.0, 0, flip=True)
    images = torch.cat([batches.at(step, CPU)[0] for step in range(40)])
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, -1]
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / len(mirrored) ** 0.5)


def test_a_mirrored_image_is_the_image_from_right_to_left(slopes: ImageFolder) -> None:
    plain = Batches(slopes, QUIET, IMAGES, 0.0, 0).at(0, CPU)[0]
    images = Batches(slopes, QUIET, IMAGES, 0.0, 0, flip=True).at(0, CPU)[0]
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, -1]
    expected = torch.where(mirrored.view(-1, 1, 1, 1), plain.flip(3), plain)
    torch.testing.assert_close(images, expected, rtol=0, atol=0)


def test_nothing_is_mirrored_unless_asked(slopes: ImageFolder) -> None:
    images = torch.cat([Batches(slopes, QUIET, IMAGES, 0.0, 0).at(step, CPU)[0] for step in range(20)])
    assert bool((images[..., 0] < images[..., -1]).all())


def test_an_image_is_mirrored_anew_each_time(slopes: ImageFolder) -> None:
    batches = Batches(slopes, QUIET, IMAGES, 0.0, 0, flip=True)
    assert not torch.equal(batches.at(0, CPU)[0], batches.at(1, CPU)[0])


@pytest.mark.parametrize(("limit_gib", "there"), [(1.0, True), (0.0, False)])
def test_data_go_to_the_device_if_they_fit_within_the_limit(data: ImageFolder, limit_gib: float, there: bool) -> None:
    device = torch.device("meta")  # the one that every machine has beside its CPU
    placed = place(data, device, limit_gib)
    assert {placed.pixels.device.type, placed.labels.device.type} == {"meta" if there else "cpu"}


def test_images_asked_about_are_the_first_of_the_step_s_with_every_label(data: ImageFolder) -> None:
    batches = Batches(data, GAUSSIAN, 8, label_drop=0.9, seed=3)
    asked, answers = batches.asked_at(5, CPU, 0.5)
    plain = Batches(data, GAUSSIAN, 8, label_drop=0.0, seed=3).at(5, CPU)[1]
    assert asked.shape[0] == 4
    assert plain is not None
    assert torch.equal(answers, plain[:4])


def test_asking_changes_nothing_of_what_a_step_sees(data: ImageFolder) -> None:
    batches = Batches(data, GAUSSIAN, 8, 0.5, seed=3)
    before = batches.at(5, CPU)[0]
    batches.asked_at(5, CPU, 0.5)
    assert torch.equal(batches.at(5, CPU)[0], before)


def test_noise_of_images_asked_about_is_of_any_strength_up_to_the_flow_s(black: ImageFolder) -> None:
    batches = Batches(black, GAUSSIAN, IMAGES, 0.0, seed=0)
    asked = torch.cat([batches.asked_at(step, CPU, 1.0)[0] for step in range(40)])
    spread = asked.flatten(1).std(dim=1)
    assert spread.min() < 0.2 * GAUSSIAN.noise_std
    assert 0.8 * GAUSSIAN.noise_std < spread.max() < 1.3 * GAUSSIAN.noise_std
