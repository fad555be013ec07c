"""Owns the laws of judges: what they take, what training makes of a seed, and that their files say what they are."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.classifier import Judge, load_judge, main, save_judge
from benchmarks.classifier_training import RECIPES, Training
from benchmarks.networks import Architecture, build
from training.image_folder import read_image_folder

CPU = torch.device("cpu")
COLOUR = Architecture("residual", 32, 3)
NARROW = Architecture("residual", 16, 3, width=8)
Maker = Callable[..., Path]


def noise(architecture: Architecture, count: int = 6) -> torch.Tensor:
    """Images that the architecture takes."""
    side = architecture.image_size
    return torch.randint(256, (count, architecture.in_channels, side, side), dtype=torch.uint8)


@pytest.mark.parametrize("name", ["small", "residual"])
@pytest.mark.parametrize("side", [16, 20, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_it_was_built_for_have_a_logit_for_each_class(name: str, side: int, channels: int) -> None:
    architecture = Architecture(name, side, channels, width=8)
    assert build(architecture, 7).eval()(noise(architecture, 2)).shape == (2, 7)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "large"}, "architecture must be one of small, residual"),
        ({"image_size": 30}, r"image_size must be a multiple of 4 in \[16, 64\], got 30"),
        ({"image_size": 12}, "got 12"),
        ({"image_size": 68}, "got 68"),
        ({"in_channels": 4}, r"in_channels must be 1 \(grey\) or 3 \(RGB\), got 4"),
        ({"width": 12}, r"width must be a multiple of 8 in \[8, 256\], got 12"),
    ],
)
def test_an_architecture_out_of_bounds_is_refused(changes: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(COLOUR, **changes)  # type: ignore[arg-type]


def test_the_colour_network_is_of_the_size_that_the_documentation_says() -> None:
    network = build(COLOUR, 10)
    with FlopCounterMode(display=False) as counter:
        network(noise(COLOUR, 2)).sum().backward()
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(4.4e6, rel=0.01)
    assert counter.get_total_flops() / 2 == pytest.approx(2.3e9, rel=0.01)


@pytest.mark.parametrize("architecture", [Architecture("small", 28, 1), NARROW])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_judge_comes_back_from_its_file(
    architecture: Architecture, memory_format: torch.memory_format, tmp_path: Path
) -> None:
    network = build(architecture, 3).eval()
    network.to(memory_format=memory_format)  # type: ignore[call-overload] # no stub says so
    judge = Judge(network, architecture, ("zero", "one", "two"), 0.75)
    save_judge(judge, tmp_path / "judge.safetensors", "made here")
    loaded, pixels = load_judge(tmp_path / "judge.safetensors"), noise(architecture, 25)
    assert replace(loaded, network=network) == judge
    torch.testing.assert_close(loaded.network(pixels), network(pixels))


def test_a_file_from_before_there_were_architectures_is_the_digits_network(tmp_path: Path) -> None:
    network = build(Architecture("small", 28, 1), 10).eval()
    metadata = {"class_names": json.dumps(list("0123456789")), "test_accuracy": "0.9945", "command": "an older one"}
    save_file(network.state_dict(), tmp_path / "old.safetensors", metadata)
    loaded, pixels = load_judge(tmp_path / "old.safetensors"), noise(Architecture("small", 28, 1))
    assert loaded.test_accuracy == 0.9945
    assert torch.equal(loaded.network(pixels), network(pixels))


def test_the_digits_network_has_the_tensors_of_the_first_files() -> None:
    shapes = {name: tuple(value.shape) for name, value in build(Architecture("small", 28, 1), 10).named_parameters()}
    assert shapes == {
        "layers.0.weight": (32, 1, 3, 3),
        "layers.0.bias": (32,),
        "layers.2.weight": (32,),
        "layers.2.bias": (32,),
        "layers.4.weight": (64, 32, 3, 3),
        "layers.4.bias": (64,),
        "layers.6.weight": (64,),
        "layers.6.bias": (64,),
        "layers.9.weight": (128, 3136),
        "layers.9.bias": (128,),
        "layers.12.weight": (10, 128),
        "layers.12.bias": (10,),
    }


@pytest.mark.parametrize("metadata", [{"architecture": '{"name": "large"}'}, {"architecture": "["}, {}])
def test_a_file_of_another_network_is_refused_by_name(metadata: dict[str, str], tmp_path: Path) -> None:
    known = {"class_names": '["a", "b"]', "test_accuracy": "1.0"}
    save_file(build(NARROW, 2).state_dict(), tmp_path / "judge.safetensors", known | metadata)
    with pytest.raises(ValueError, match=r"judge\.safetensors: not a classifier of benchmarks\.classifier"):
        load_judge(tmp_path / "judge.safetensors")


def test_a_file_that_is_no_judge_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "judge.safetensors").write_bytes(b"not a judge")
    with pytest.raises(ValueError, match=r"judge\.safetensors: not a classifier of benchmarks\.classifier"):
        load_judge(tmp_path / "judge.safetensors")


def options(train: Path, test: Path, out: Path) -> list[str]:
    """Of a run of a few seconds."""
    toy = ["--image-size=16", "--width=8", "--epochs=15", "--batch-size=16", "--learning-rate=0.05", "--flip"]
    return ["--data", str(train), "--test", str(test), "--out", str(out), *toy]


def test_a_judge_of_colours_learns_them_and_its_file_says_how_well(
    make_pictures: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = make_pictures("train", count=32), make_pictures("test", count=8, seed=1)
    assert main(options(train, test, tmp_path / "judge.safetensors")) == 0
    report, judge = json.loads(capsys.readouterr().out), load_judge(tmp_path / "judge.safetensors")
    held_out = read_image_folder(test, 16, 3)
    assert report["test_images"] == 24
    assert report["test_accuracy"] == judge.test_accuracy == judge.accuracy(held_out) == 1.0
    assert judge.names(held_out.pixels[:1]) == ["blue"]


@pytest.mark.parametrize("name", ["small", "residual"])
def test_a_seed_makes_the_same_judge_again_and_another_seed_another(make_pictures: Maker, name: str) -> None:
    torch.set_num_threads(1)  # sums then come out in the same order every time
    data = read_image_folder(make_pictures(), 16, 3)
    recipe = replace(RECIPES[name], epochs=1, batch_size=16, flip=True)
    weights = []
    for seed in (0, 0, 1):
        training = Training(data, replace(NARROW, name=name), recipe, seed, CPU)
        training.run()
        weights.append(torch.cat([weight.flatten() for weight in training.network.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_step_sees_each_image_once_in_an_epoch(make_pictures: Maker) -> None:
    data = read_image_folder(make_pictures(), 16, 3)
    training = Training(data, NARROW, replace(RECIPES["residual"], epochs=2, batch_size=16), 0, CPU)
    batches = list(training._batches())
    assert [len(batch) for batch in batches] == [16] * 6
    assert sorted(torch.cat(batches[:3]).tolist()) == sorted(torch.cat(batches[3:]).tolist()) == list(range(48))


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--batch-size", "49"], "48 images are less than a batch: --batch-size is 49"),
        (["--epochs", "0"], r"--epochs must lie in [1, 10000], got 0"),
        (["--image-size", "18"], "image_size must be a multiple of 4 in [16, 64], got 18"),
        (["--device", "tpu"], "device must be auto, cpu, cuda"),
    ],
)
def test_options_that_cannot_be_used_are_refused_in_words(
    make_pictures: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], says: str
) -> None:
    train = make_pictures("train")
    assert main([*options(train, train, tmp_path / "judge.safetensors"), *extra]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "judge.safetensors").exists()
