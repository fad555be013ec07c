"""Owns the laws of the commands: what is refused, by which name, and what each leaves behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model import TarFlow, load, save
from model.card import Card
from model.checkpoint import load_card
from training.__main__ import main

Arguments = Callable[..., list[str]]
Text = pytest.CaptureFixture[str]
GOLDEN = Path(__file__).parents[1] / "golden"
PUBLISHED_NAME = "toy_model_4_64_4_2_0.05.pth"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The golden conditional flow under a published file's name."""
    file = tmp_path / PUBLISHED_NAME
    file.write_bytes((GOLDEN / "conditional.pth").read_bytes())
    return file


@pytest.fixture
def checkpoint(make_shifting_flow: Callable[..., TarFlow], tmp_path: Path) -> Path:
    """A checkpoint that knows cats and dogs."""
    save(make_shifting_flow(-0.5, 0.5, noise_std=0.1), tmp_path / "flow", Card(("cat", "dog"), metrics={"fid": 3.0}))
    return tmp_path / "flow"


def test_train_makes_a_run_and_says_so_in_the_card(train_arguments: Arguments, tmp_path: Path) -> None:
    arguments = train_arguments()
    assert main(arguments) == 0
    command = load_card(tmp_path / "command_line_run" / "checkpoint").command
    assert command.startswith("tarflow train --data ")
    assert str(tmp_path / "command_line_run") in command


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("image_size", 0, "image_size must be"),
        ("image_size", 10, "image_size must be a multiple of patch_size 4"),
        ("patch_size", 0, "patch_size must be"),
        ("patch_size", 8, "patch_size must leave at least 2 patches"),
        ("channels", 0, "channels must be"),
        ("channels", 24, "channels must be a multiple of head_dim 16"),
        ("head_dim", 0, "head_dim must be"),
        ("blocks", 0, "blocks must be"),
        ("layers_per_block", 0, "layers_per_block must be"),
        ("in_channels", 2, "--in-channels must be 1 (grey) or 3 (RGB)"),
        ("noise_std", 0, "--noise-std must be above 0"),
        ("noise_std", -0.1, "noise_std must lie in"),
        ("noise_std", 1.1, "noise_std must lie in"),
        ("noise_std", "nan", "noise_std must lie in"),
        ("epochs", -1, "--epochs must lie in"),
        ("epochs", 0, "--epochs must make at least one step"),
        ("epochs", "nan", "--epochs must lie in"),
        ("epochs", "inf", "--epochs must lie in"),
        ("batch_size", 0, "--batch-size must lie in"),
        ("part_mib", 1e-7, "--part-mib must be 0, for one file, or at least 0.001, got 1e-07"),
        ("part_mib", -1, "--part-mib must lie in 0..1e+06, got -1"),
        ("batch_size", 25, "24 readable images are fewer than --batch-size 25"),
        ("learning_rate", -0.1, "--learning-rate must lie in"),
        ("learning_rate", 1.1, "--learning-rate must lie in"),
        ("final_learning_rate", -0.1, "--final-learning-rate must lie in"),
        ("final_learning_rate", 1.1, "--final-learning-rate must lie in"),
        ("warmup_epochs", -1, "--warmup-epochs must lie in"),
        ("weight_decay", -0.1, "--weight-decay must lie in"),
        ("weight_decay", 1.1, "--weight-decay must lie in"),
        ("clip", -1, "--clip must lie in"),
        ("ema", -0.1, "--ema must lie in"),
        ("ema", 1, "--ema must lie in"),
        ("label_drop", -0.1, "--label-drop must lie in"),
        ("label_drop", 1.1, "--label-drop must lie in"),
        ("seed", -1, "--seed must lie in"),
        ("seed", 2**31 + 1, "--seed must lie in"),
        ("save_every", 0, "--save-every must lie in"),
        ("sheet_every", -1, "--sheet-every must lie in"),
        ("stop_after", -1, "--stop-after must lie in"),
        ("guidance", -1, "--guidance must lie in"),
        ("guidance", 20.1, "--guidance must lie in"),
        ("device", "abacus", "device must be auto, cpu, cuda or cuda:N, got 'abacus'"),
        ("device", "cuda:99", "device must be auto, cpu, cuda or cuda:N, got 'cuda:99'"),
        ("data", "nowhere", "nowhere: no such folder"),
    ],
)
def test_a_bad_option_is_refused_by_name_before_the_first_step(
    train_arguments: Arguments, tmp_path: Path, capsys: Text, option: str, value: object, says: str
) -> None:
    assert main(train_arguments(**{option: value})) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "command_line_run").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("blocks", "many"), ("noise_type", "pink"), ("precision", "float8"), ("colour", "red"), ("patch_size", None)],
)
def test_a_word_that_is_no_value_is_refused_by_name_with_the_usage(
    train_arguments: Arguments, capsys: Text, option: str, value: object
) -> None:
    with pytest.raises(SystemExit) as found:
        main(train_arguments(**{option: value}))
    assert found.value.code == 2
    assert f"--{option.replace('_', '-')}" in capsys.readouterr().err


def test_an_existing_run_is_refused_with_the_way_on(train_arguments: Arguments, capsys: Text) -> None:
    assert main(train_arguments()) == 0
    assert main(train_arguments()) == 2
    assert "add --resume to continue it, or name another folder" in capsys.readouterr().err


def test_a_file_in_place_of_the_run_is_refused_by_name(
    train_arguments: Arguments, tmp_path: Path, capsys: Text
) -> None:
    (tmp_path / "file").touch()
    assert main(train_arguments(out=tmp_path / "file")) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_resume_goes_on_with_the_run(train_arguments: Arguments, tmp_path: Path) -> None:
    assert main(train_arguments(stop_after=2)) == 0
    assert main([*train_arguments(), "--resume"]) == 0
    assert len((tmp_path / "command_line_run" / "log.jsonl").read_text().splitlines()) == 6


def test_evaluate_prints_its_figures_as_json(checkpoint: Path, make_folder: Callable[..., Path], capsys: Text) -> None:
    assert main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(make_folder())]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["unreadable"], found["comparable_with_papers"]) == (24, 0, False)
    assert {"bits_per_dim", "bits_per_dim_standard_error", "density", "bayes_accuracy", "seconds"} < set(found)


def test_evaluate_leaves_the_checkpoint_alone(checkpoint: Path, make_folder: Callable[..., Path]) -> None:
    before = {file.name: file.read_bytes() for file in checkpoint.iterdir()}
    main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(make_folder())])
    assert {file.name: file.read_bytes() for file in checkpoint.iterdir()} == before


def test_record_adds_the_figures_to_the_card(checkpoint: Path, make_folder: Callable[..., Path], capsys: Text) -> None:
    assert main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(make_folder()), "--record"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert load_card(checkpoint).metrics == {
        "fid": 3.0,
        "test_bits_per_dim": found["bits_per_dim"],
        "test_images": 24,
        "bayes_accuracy": found["bayes_accuracy"],
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_record_leaves_the_weights_as_they_are(
    make_shifting_flow: Callable[..., TarFlow], make_folder: Callable[..., Path], tmp_path: Path, dtype: torch.dtype
) -> None:
    save(make_shifting_flow(-0.5, 0.5), tmp_path / "flow", Card(("cat", "dog")), dtype)
    before, digest = (tmp_path / "flow" / "model.safetensors").read_bytes(), load_card(tmp_path / "flow").digest
    main(["evaluate", "--checkpoint", str(tmp_path / "flow"), "--data", str(make_folder()), "--record"])
    assert (tmp_path / "flow" / "model.safetensors").read_bytes() == before
    assert load_card(tmp_path / "flow").digest == digest


def test_evaluating_a_class_the_checkpoint_does_not_know_is_refused_by_name(
    checkpoint: Path, make_folder: Callable[..., Path], capsys: Text
) -> None:
    assert main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(make_folder(owl=1))]) == 2
    assert "folders ['owl'] are not among the checkpoint's classes ['cat', 'dog']" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "calibrate"])
def test_data_of_another_number_of_classes_than_a_checkpoint_without_names_is_refused(
    make_shifting_flow: Callable[..., TarFlow],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    capsys: Text,
    command: str,
) -> None:
    save(make_shifting_flow(-0.5, 0.0, 0.5), tmp_path / "nameless")
    assert main([command, "--checkpoint", str(tmp_path / "nameless"), "--data", str(make_folder())]) == 2
    assert "2 class folders, and the checkpoint has 3 classes without names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [("--batch-size", "0", "--batch-size must lie in [1,"), ("--device", "abacus", "device must be auto")],
)
def test_a_bad_option_of_evaluate_is_refused_by_name(
    checkpoint: Path, make_folder: Callable[..., Path], capsys: Text, option: str, value: str, says: str
) -> None:
    assert main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(make_folder()), option, value]) == 2
    assert says in capsys.readouterr().err


def test_an_unknown_checkpoint_is_refused_by_name(make_folder: Callable[..., Path], capsys: Text) -> None:
    assert main(["evaluate", "--checkpoint", "nobody", "--data", str(make_folder())]) == 2
    assert "no checkpoint 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--record",)])
def test_a_published_file_is_not_evaluated_for_nothing_says_its_noise(
    published: Path, make_folder: Callable[..., Path], capsys: Text, more: tuple[str, ...]
) -> None:
    assert main(["evaluate", "--checkpoint", str(published), "--data", str(make_folder()), *more]) == 2
    said = capsys.readouterr()
    assert "`tarflow import` it first" in said.err
    assert (said.out, "evaluating" in said.err) == ("", False)


def test_an_imported_file_has_the_log_prob_of_the_published_one(published: Path, tmp_path: Path) -> None:
    assert main(["import", str(published), "--out", str(tmp_path / "imported")]) == 0
    images, labels = torch.rand(3, 3, 16, 16), torch.tensor([0, 9, -1])
    ours, theirs = load(tmp_path / "imported"), load(GOLDEN / "conditional.pth")
    torch.testing.assert_close(ours.log_prob(images, labels), theirs.log_prob(images, labels), rtol=0, atol=0)


def test_an_imported_file_gets_its_noise_and_data_from_its_name(published: Path, tmp_path: Path) -> None:
    main(["import", str(published), "--out", str(tmp_path / "imported")])
    assert load(tmp_path / "imported").config.noise_std == 0.05
    assert load_card(tmp_path / "imported").trained_on == "toy"


def test_an_imported_card_says_class_names_and_guidance(published: Path, tmp_path: Path) -> None:
    names = [f"class {index}" for index in range(10)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    given = ["--class-names", str(tmp_path / "names.txt"), "--guidance", "1.5"]
    assert main(["import", str(published), "--out", str(tmp_path / "imported"), *given]) == 0
    card = load_card(tmp_path / "imported")
    assert (card.class_names, card.sampling.guidance) == (tuple(names), 1.5)


@pytest.mark.parametrize("guidance", ["-1", "20.5", "nan"])
def test_a_guidance_that_no_request_may_have_is_not_imported(
    published: Path, tmp_path: Path, capsys: Text, guidance: str
) -> None:
    assert main(["import", str(published), "--out", str(tmp_path / "imported"), "--guidance", guidance]) == 2
    assert f"--guidance must lie in [0, 20], got {float(guidance)}" in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("toy_model_2_64_4_2_0.05.pth", "patch_size is 2 by the file's name, 4 by its tensors"),
        ("toy_model_4_128_4_2_0.05.pth", "channels is 128 by the file's name, 64 by its tensors"),
        ("toy_model_4_64_8_2_0.05.pth", "blocks is 8 by the file's name, 4 by its tensors"),
        ("toy_model_4_64_4_3_0.05.pth", "layers_per_block is 3 by the file's name, 2 by its tensors"),
        ("toy.pth", "toy.pth does not say its noise: give --noise-std"),
    ],
)
def test_a_file_whose_name_contradicts_its_tensors_is_refused(
    published: Path, tmp_path: Path, capsys: Text, name: str, says: str
) -> None:
    assert main(["import", str(published.rename(tmp_path / name)), "--out", str(tmp_path / "imported")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(("names", "says"), [("one\ntwo\n", "class_names must number 10, got 2"), (None, "names.txt")])
def test_class_names_that_do_not_fit_or_are_not_there_are_refused(
    published: Path, tmp_path: Path, capsys: Text, names: str | None, says: str
) -> None:
    if names is not None:
        (tmp_path / "names.txt").write_text(names)
    given = ["--class-names", str(tmp_path / "names.txt")]
    assert main(["import", str(published), "--out", str(tmp_path / "imported"), *given]) == 2
    assert says in capsys.readouterr().err
