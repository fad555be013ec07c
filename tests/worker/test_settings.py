"""Laws of the worker's settings: bounds, names, and help for each."""

from typing import Any

import pytest
from pydantic import ValidationError

from worker.contract import Kind, model_name
from worker.settings import WorkerSettings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "paint"),
        ("max_batch", 0),
        ("metrics_port", -1),
        ("metrics_port", 65536),
        ("metrics_port", "x"),
        ("metrics_host", ""),
        ("log_format", "xml"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        WorkerSettings(**{field: value})


def test_the_environment_is_read_under_one_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARFLOW_KIND", "score")
    monkeypatch.setenv("TARFLOW_MODELS", "one,two")
    settings = WorkerSettings()
    assert (settings.kind, settings.models) == (Kind.SCORE, "one,two")


def test_an_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARFLOW_KIND", "score")
    assert WorkerSettings(kind=Kind.GENERATE).kind is Kind.GENERATE


def test_settings_show_no_password() -> None:
    assert "opensesame" not in repr(WorkerSettings(redis_url="redis://it:opensesame@redis/0"))


def test_settings_cannot_be_changed() -> None:
    settings = WorkerSettings()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, "metrics_port", 1)  # noqa: B010


@pytest.mark.parametrize("field", WorkerSettings.model_fields)
def test_every_setting_has_help_and_a_default(field: str) -> None:
    info = WorkerSettings.model_fields[field]
    assert info.description
    assert not info.is_required()


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [("mnist-28", "mnist-28"), ("/a/b/mine", "mine"), ("/a/b/mine/", "mine"), ("x/afhq_model_8.pth", "afhq_model_8")],
)
def test_a_model_is_called_by_the_last_part_of_its_path(checkpoint: str, name: str) -> None:
    assert model_name(checkpoint) == name
