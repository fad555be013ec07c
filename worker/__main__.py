"""The commands `worker`, `generate` and `score`: arguments in, exit status out."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pydantic import ValidationError

from model import CheckpointError
from worker.contract import DEFAULT_ALPHA, Kind, ScoreWish, model_name, with_value
from worker.engine import Engine
from worker.errors import JobError
from worker.offline import GenerateWish, generate_file, score_files
from worker.process import run_worker
from worker.progress import Progress
from worker.settings import WorkerSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 2 = a bad argument or input, 1 = it failed."""
    parsed, unknown = _parser().parse_known_args(arguments)
    if unknown:  # By the command's own parser, which knows its usage.
        parsed.refuse(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return parsed.run(parsed)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {with_value(each)}" for each in error.errors())
        print(f"tarflow {parsed.command_name}: {wrong}", file=sys.stderr)
        return 2
    except (CheckpointError, ValueError, OSError) as error:
        print(f"tarflow {parsed.command_name}: {error}", file=sys.stderr)
        return 2
    except JobError as error:
        print(f"tarflow {parsed.command_name}: {error.reason}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tarflow")
    commands = parser.add_subparsers(dest="command_name", required=True)
    worker = commands.add_parser("worker", help="serve the jobs of one queue (settings: TARFLOW_* environment)")
    worker.set_defaults(run=_worker, refuse=worker.error)
    worker.add_argument("--kind", choices=[str(kind) for kind in Kind], help="what to work on (TARFLOW_KIND)")
    worker.add_argument("--model", help="checkpoint name or path (the first of TARFLOW_MODELS)")
    generate = commands.add_parser("generate", help="make a picture without a server")
    generate.set_defaults(run=_generate, refuse=generate.error)
    generate.add_argument("--model", default="mnist-28", help="checkpoint name or path (%(default)s)")
    generate.add_argument("--class", dest="class_name", help="index or name; left out = no class")
    generate.add_argument("--guidance", type=float, help="0..20; default: the checkpoint's")
    generate.add_argument("--n", type=int, default=1, help="pictures, 1..16; several make a contact sheet")
    generate.add_argument("--seed", type=int, help="0..2^53-1; drawn and printed if left out")
    generate.add_argument("--denoise", action=argparse.BooleanOptionalAction, help="default: the checkpoint's")
    generate.add_argument(
        "--attention-temperature", type=float, help="of the null branch, for guidance without a class, 0.01..1"
    )
    generate.add_argument("--out", type=Path, required=True, help="PNG file to write")
    generate.add_argument("--device", default="auto", help="auto, cpu, cuda")
    score = commands.add_parser("score", help="log-likelihoods of image files, as JSON, without a server")
    score.set_defaults(run=_score, refuse=score.error)
    score.add_argument("files", type=Path, nargs="+", help="image files")
    score.add_argument("--model", default="mnist-28", help="checkpoint name or path (%(default)s)")
    score.add_argument("--class", help=_description("class_"))
    score.add_argument("--alpha", help=f"{_description('alpha')} ({DEFAULT_ALPHA})")
    score.add_argument("--calibration", metavar="NAME", help=_description("calibration"))
    score.add_argument("--patches", action="store_true", help=_description("patches"))
    score.add_argument("--prior", metavar="WEIGHTS", help=_description("prior"))
    score.add_argument("--heat-map", type=Path, metavar="OUT", help="PNG file to write, of one image")
    score.add_argument("--device", default="auto", help="auto, cpu, cuda")
    return parser


def _worker(parsed: argparse.Namespace) -> int:
    given = {"kind": parsed.kind, "models": parsed.model}
    return run_worker(WorkerSettings(**{name: value for name, value in given.items() if value is not None}))


def _engine(parsed: argparse.Namespace, judges: bool) -> Engine:
    return Engine.start(model_name(parsed.model), parsed.model, parsed.device, judges)


def _generate(parsed: argparse.Namespace) -> int:
    wish = GenerateWish(**{each.name: getattr(parsed, each.name) for each in fields(GenerateWish)})
    engine = _engine(parsed, judges=False)
    with Progress.shown("generate", "block") as progress:
        request = generate_file(engine, wish, parsed.out, progress.reach)
    print(request.model_dump_json())
    return 0


def _score(parsed: argparse.Namespace) -> int:
    given = {name: getattr(parsed, name) for name in ("class", "alpha", "calibration", "patches", "prior")}
    wish = _checked({name: value for name, value in given.items() if value is not None})
    engine = _engine(parsed, judges=True)
    with Progress.shown("score", "forward pass") as progress:
        answer = score_files(engine, parsed.files, wish, parsed.heat_map, progress.reach)
    print(json.dumps(answer, indent=2))
    return 0


def _checked(given: dict[str, str | bool]) -> ScoreWish:
    """The wish; raises ValueError in the words of the HTTP API."""
    try:
        return ScoreWish.model_validate(given)
    except ValidationError as error:
        raise ValueError("; ".join(f"{each['loc'][0]}: {with_value(each)}" for each in error.errors())) from error


def _description(field: str) -> str:
    """What the HTTP API says of a parameter, too."""
    return str(ScoreWish.model_fields[field].description).replace("`", "")


if __name__ == "__main__":
    sys.exit(main())
