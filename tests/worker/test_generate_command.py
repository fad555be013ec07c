"""Laws of `tarflow generate` without a server: a file out, its request as JSON, exit status for scripts."""

from pathlib import Path

import pytest
from PIL import Image

from tests.worker.conftest import CheckpointMaker, overflow, run_away
from worker.__main__ import main
from worker.contract import GenerateRequest

Captured = pytest.CaptureFixture[str]


def generate(model: str, out: Path, *options: str) -> int:
    """`tarflow generate`."""
    return main(["generate", "--model", model, "--out", str(out), "--device", "cpu", *options])


def size_of(file: Path) -> tuple[int, int]:
    """Width and height of a picture."""
    with Image.open(file) as image:
        return image.size


def pixels_of(file: Path) -> bytes:
    """The picture without its text chunks."""
    with Image.open(file) as image:
        return image.tobytes()


def test_generate_writes_a_picture_of_the_model_s_size(model: str, tmp_path: Path) -> None:
    assert generate(model, tmp_path / "out.png") == 0
    assert size_of(tmp_path / "out.png") == (8, 8)


def test_generate_writes_a_sheet_of_several(model: str, tmp_path: Path) -> None:
    assert generate(model, tmp_path / "out.png", "--n", "4") == 0
    assert size_of(tmp_path / "out.png") == (22, 22)


def test_the_same_seed_writes_the_same_file(model: str, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        generate(model, tmp_path / name, "--seed", "3", "--class", "dog")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_drawn_seed_is_printed_and_makes_the_picture_again(model: str, tmp_path: Path, capsys: Captured) -> None:
    generate(model, tmp_path / "one.png")
    seed = GenerateRequest.model_validate_json(capsys.readouterr().out).seed
    generate(model, tmp_path / "two.png", "--seed", str(seed))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_what_is_left_out_is_the_checkpoint_s(model: str, tmp_path: Path, capsys: Captured) -> None:
    generate(model, tmp_path / "out.png")
    request = GenerateRequest.model_validate_json(capsys.readouterr().out)
    assert (request.class_index, request.guidance, request.denoise) == (-1, 2.0, True)


def test_what_is_given_counts(model: str, tmp_path: Path, capsys: Captured) -> None:
    generate(model, tmp_path / "out.png", "--class", "owl", "--guidance", "0", "--no-denoise", "--seed", "9")
    request = GenerateRequest.model_validate_json(capsys.readouterr().out)
    assert (request.class_index, request.guidance, request.denoise, request.seed) == (2, 0, False, 9)


def test_guidance_without_a_class_comes_from_the_attention_temperature(
    model: str, tmp_path: Path, capsys: Captured
) -> None:
    options = ("--seed", "3", "--guidance", "3")
    generate(model, tmp_path / "plain.png", *options, "--guidance", "0")
    generate(model, tmp_path / "default.png", *options)
    capsys.readouterr()
    generate(model, tmp_path / "guided.png", *options, "--attention-temperature", "0.2")
    assert GenerateRequest.model_validate_json(capsys.readouterr().out).attention_temperature == 0.2
    pixels = [pixels_of(tmp_path / f"{name}.png") for name in ("plain", "default", "guided")]
    assert pixels[0] == pixels[1] != pixels[2]


def test_a_picture_stabilised_is_still_a_picture(make_checkpoint: CheckpointMaker, tmp_path: Path) -> None:
    model = str(make_checkpoint(run_away))
    assert generate(model, tmp_path / "out.png", "--class", "cat", "--guidance", "20") == 0


def test_a_picture_that_is_not_finite_is_exit_status_1(
    make_checkpoint: CheckpointMaker, tmp_path: Path, capsys: Captured
) -> None:
    assert generate(str(make_checkpoint(overflow)), tmp_path / "out.png", "--class", "cat") == 1
    assert "non_finite" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_an_unknown_class_is_exit_status_2_and_names_those_there_are(
    model: str, tmp_path: Path, capsys: Captured
) -> None:
    assert generate(model, tmp_path / "out.png", "--class", "cow") == 2
    assert "'cow' is no class of tiny: give 0..2 or one of cat, dog, owl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "bound"),
    [
        ("guidance", "20.5", "must be at most 20"),
        ("guidance", "-1", "must be at least 0"),
        ("guidance", "nan", "finite"),
        ("attention-temperature", "1.5", "must be at most 1"),
        ("attention-temperature", "0", "must be at least 0.01"),
        ("n", "17", "must be at most 16"),
        ("n", "0", "must be at least 1"),
        ("seed", "-1", "must be at least 0"),
        ("seed", str(2**53), f"must be at most {2**53 - 1}"),
    ],
)
def test_a_value_out_of_bounds_is_exit_status_2_and_names_the_bound(
    model: str, tmp_path: Path, capsys: Captured, option: str, value: str, bound: str
) -> None:
    assert generate(model, tmp_path / "out.png", f"--{option}", value) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tarflow generate: {option.replace('-', '_')}: ")
    assert bound in said
    assert said.count("\n") == 1


def test_generate_has_nothing_to_say_of_calibrations(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (Path(model) / "calibration").mkdir()
    (Path(model) / "calibration" / "default.json").write_text("broken")
    assert generate(model, tmp_path / "out.png") == 0
    assert caplog.text == ""


def test_a_folder_that_does_not_exist_is_exit_status_2(model: str, tmp_path: Path, capsys: Captured) -> None:
    assert generate(model, tmp_path / "nowhere" / "out.png") == 2
    assert "nowhere" in capsys.readouterr().err


def test_an_unknown_model_is_exit_status_2_and_is_named(tmp_path: Path, capsys: Captured) -> None:
    assert generate("unheard-of", tmp_path / "out.png") == 2
    assert "unheard-of" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["score", "a.png"], ["generate", "--out", "a.png"], ["worker"]])
def test_an_unknown_option_is_told_the_usage_of_its_command(command: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--checkpoint", "x"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: tarflow {command[0]} ")
    assert "unrecognized arguments: --checkpoint x" in said


def test_a_command_must_be_named(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "generate" in capsys.readouterr().err
