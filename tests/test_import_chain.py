"""The law of the house: service -> worker.contract, worker -> model, training -> model, model -> torch.

`pictures` is a leaf that any room above the model may use; `telemetry` is one for the service and the workers.

Each room in an interpreter of its own, where nothing was imported before; all of its modules in
the same one, since what one of them loads stays loaded.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ROOMS = ("model", "pictures", "telemetry", "worker", "training", "service")
WHEN_ASKED = ("otel.py",)  # loaded where OTEL_* asks for it alone
PROGRAMME = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""
WEB = {"fastapi", "starlette", "uvicorn", "httpx", "pydantic", "typer"}
QUEUES = {"redis", "rq"}
EVERYTHING = {"torch", "numpy", "safetensors", "PIL", "prometheus_client", *ROOMS} | WEB | QUEUES


def modules_of(room: str) -> list[str]:
    """Every module of a room but the one that runs when it is called, and those that are loaded when asked for."""
    files = sorted(file for file in (REPOSITORY / room).rglob("*.py") if file.name not in WHEN_ASKED)
    names = [".".join(file.relative_to(REPOSITORY).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def loaded(*modules: str) -> set[str]:
    """What is loaded once these modules are imported."""
    command = (sys.executable, "-c", PROGRAMME, *modules)
    return set(json.loads(subprocess.check_output(command, cwd=REPOSITORY, text=True)))


def packages(*modules: str) -> set[str]:
    """The top-level packages that are loaded once these modules are imported."""
    return {name.partition(".")[0] for name in loaded(*modules)}


def imported(file: Path) -> Iterator[str]:
    """The top-level packages that a file's import statements name, wherever they stand."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def test_the_service_loads_of_the_other_rooms_the_contract_alone() -> None:
    found = loaded(*modules_of("service"))
    of_workers = {name for name in found if name.partition(".")[0] == "worker"}
    assert {".".join(name.split(".")[:2]) for name in of_workers} == {"worker", "worker.contract"}
    assert not {name.partition(".")[0] for name in found} & {"torch", "safetensors", "model", "training"}


def test_the_contract_loads_pydantic_alone() -> None:
    found = packages("worker.contract")
    assert "pydantic" in found
    assert not found & (EVERYTHING - {"pydantic", "worker"})


def test_the_pictures_know_no_other_room_and_no_tensors() -> None:
    found = packages(*modules_of("pictures"))
    assert "PIL" in found
    assert not found & (EVERYTHING - {"PIL", "pictures", "numpy"})


def test_the_telemetry_knows_no_other_room_and_no_package() -> None:
    assert not packages(*modules_of("telemetry")) & ((EVERYTHING | {"opentelemetry"}) - {"telemetry"})


@pytest.mark.parametrize("room", ["service", "worker"])
def test_nobody_who_does_not_ask_for_spans_loads_what_makes_them(room: str) -> None:
    # redis-py loads OpenTelemetry's metrics by itself where they are installed.
    makers = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "telemetry.otel")
    assert [name for name in loaded(*modules_of(room)) if name.startswith(makers)] == []


def test_the_model_knows_nothing_of_the_rooms_above_it() -> None:
    found = packages(*modules_of("model"))
    assert "torch" in found
    assert not found & ({"PIL", "pictures", "telemetry", "worker", "training", "service"} | WEB | QUEUES)


def test_a_worker_knows_neither_the_service_nor_the_training() -> None:
    assert not packages(*modules_of("worker")) & {"service", "training", "fastapi", "starlette", "uvicorn", "typer"}


def test_the_training_knows_nothing_of_the_service_and_its_workers() -> None:
    assert not packages(*modules_of("training")) & ({"service", "worker", "telemetry"} | WEB | QUEUES)


def test_nobody_imports_the_service() -> None:
    files = [file for room in ROOMS if room != "service" for file in (REPOSITORY / room).rglob("*.py")]
    assert [str(file) for file in files if "service" in imported(file)] == []


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("model", {"model"}),
        ("pictures", {"pictures"}),
        ("telemetry", {"telemetry"}),
        ("training", {"training", "model", "pictures"}),
        ("worker", {"worker", "model", "pictures", "telemetry"}),
        ("service", {"service", "worker", "pictures", "telemetry"}),
    ],
)
def test_no_import_statement_leads_up_the_chain(room: str, allowed: set[str]) -> None:
    named = {name for file in (REPOSITORY / room).rglob("*.py") for name in imported(file)}
    assert named & set(ROOMS) <= allowed


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_modules(room: str) -> None:
    assert len(modules_of(room)) > 1
