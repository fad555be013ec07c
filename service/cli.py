"""The command line `tarflow`.

Owns the commands' names. `serve` and `api` run here; what needs torch runs in a process of
its own, which takes this one's place, for the service never imports torch.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from service.api_keys import new_key
from service.api_server import run_api
from service.checkpoints import CheckpointMissing
from service.embedded_redis import RedisFailed, RedisNotFound
from service.exposure import OpenToStrangers, check_exposure
from service.health_check import ask, own_probe
from service.serve import PortTaken, serve
from service.settings import ServiceSettings
from worker.contract import plain_words

METRICS_PORT = 9100

app = typer.Typer(name="tarflow", no_args_is_help=True, add_completion=False, help=__doc__.splitlines()[0])

Host = Annotated[str | None, typer.Option(help="Address to listen on (TARFLOW_HOST; 127.0.0.1).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on (TARFLOW_PORT; 8000).")]
ModelNames = Annotated[
    str | None, typer.Option(help="Names or paths, comma-separated; first = default (TARFLOW_MODELS).")
]

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command("serve")
def serve_command(
    host: Host = None,
    port: Port = None,
    models: ModelNames = None,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the embedded Redis' data here; default: nowhere.")] = None,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="TARFLOW_METRICS_PORT", help="First port of the workers' metrics.")
    ] = METRICS_PORT,
) -> None:
    """Run everything on this machine: Redis, a worker of each kind, the API."""
    settings = _settings(host=host, port=port, models=models)
    try:
        serve(settings, data_dir, metrics_port)
    except (CheckpointMissing, OpenToStrangers, PortTaken, RedisFailed, RedisNotFound) as error:
        _fail("serve", str(error))


@app.command("api")
def api_command(host: Host = None, port: Port = None, models: ModelNames = None) -> None:
    """Run the HTTP API alone."""
    settings = _settings(host=host, port=port, models=models)
    try:
        check_exposure(settings)
    except OpenToStrangers as error:
        _fail("api", str(error))
    run_api(settings)


@app.command("health")
def health_command(
    url: Annotated[str | None, typer.Option(help="Probe to ask; default: /readyz of this machine's API.")] = None,
) -> None:
    """Ask a probe once: exit status 0 if it is content, else 1."""
    health = ask(url or own_probe(_settings()))
    typer.echo(health.words)
    raise typer.Exit(0 if health.healthy else 1)


@app.command("key")
def key_command(name: Annotated[str, typer.Argument(help="Who gets the key; it appears in the logs.")]) -> None:
    """Make an API key: the key, shown this once, and its entry in TARFLOW_API_KEYS."""
    try:
        secret, key = new_key(name)
    except ValueError as error:
        _fail("key", str(error))
    typer.echo(f"key, for {name} alone: {secret}")
    typer.echo(f"entry of TARFLOW_API_KEYS: {key.entry}")


@app.command("worker", context_settings=PASSED_ON)
def worker_command(context: typer.Context) -> None:
    """Run one worker process: --kind generate|score."""
    _become("worker", context)


@app.command("train", context_settings=PASSED_ON)
def train_command(context: typer.Context) -> None:
    """Train a flow on a folder of class folders."""
    _become("training", context)


@app.command("evaluate", context_settings=PASSED_ON)
def evaluate_command(context: typer.Context) -> None:
    """What a checkpoint's likelihoods and samples are worth beside a test folder."""
    _become("training", context)


@app.command("calibrate", context_settings=PASSED_ON)
def calibrate_command(context: typer.Context) -> None:
    """Learn from held-out real images what is usual, for p-values of scores."""
    _become("training", context)


@app.command("import", context_settings=PASSED_ON)
def import_command(context: typer.Context) -> None:
    """Turn a published .pth state dict into a checkpoint folder."""
    _become("training", context)


@app.command("card", context_settings=PASSED_ON)
def card_command(context: typer.Context) -> None:
    """The facts of a checkpoint and their page, README.md beside the weights."""
    _become("training", context)


@app.command("generate", context_settings=PASSED_ON)
def generate_command(context: typer.Context) -> None:
    """Make a picture without a server."""
    _become("worker", context)


@app.command("score", context_settings=PASSED_ON)
def score_command(context: typer.Context) -> None:
    """Log-likelihoods of image files, and how unusual they are, without a server."""
    _become("worker", context)


def main() -> None:
    """The console script."""
    app()


def _become(package: str, context: typer.Context) -> NoReturn:
    """Replace this process by `python -m package command ...`: same pid, same signals."""
    command = context.command.name or ""
    os.execv(sys.executable, [sys.executable, "-m", package, command, *context.args])


def _settings(**given: Any) -> ServiceSettings:
    """Settings of the environment, options first."""
    try:
        return ServiceSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"TARFLOW_{str(each['loc'][0]).upper()}: {plain_words(each)}" for each in error.errors())
        _fail("settings", wrong)


def _fail(command: str, message: str) -> NoReturn:
    typer.echo(f"tarflow {command}: {message}", err=True)
    raise typer.Exit(2)
