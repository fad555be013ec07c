"""Owns the laws of the service's settings: what the environment may say, and what is refused."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from service.cli import app
from service.settings import ServiceSettings

NONSENSE = [
    ("redis_url", "localhost"),
    ("redis_url", "http://localhost"),
    ("port", "0"),
    ("port", "65536"),
    ("port", "http"),
    ("port", ""),
    ("models", ""),
    ("models", " , "),
    ("models", "/one/a,/two/a"),
    ("models", "a,b,a"),
    ("models", "/one/模型"),
    ("models", "/one/a\tb"),
    ("wait_s", "0"),
    ("wait_s", "61"),
    ("wait_s", "nan"),
    ("wait_s", "soon"),
    ("job_timeout_s", "0"),
    ("job_timeout_s", "1.5"),
    ("result_ttl_s", "0"),
    ("result_ttl_s", "-1"),
    ("max_queued", "63"),
    ("max_queued_passes", "4159"),
    ("max_held_bytes", "0"),
    ("max_upload_bytes", "0"),
    ("max_upload_bytes", "32MB"),
    ("max_image_pixels", "0"),
    ("upload_s", "0"),
    ("upload_s", "inf"),
    ("api_keys", "ada"),
    ("api_keys", f"ada:{'0' * 64},"),
    ("allow_anonymous", "perhaps"),
    ("rate_limit", "60"),
    ("rate_limit", "0/minute"),
    ("rate_limit", "60/fortnight"),
    ("rate_limit", "60/minute;1/second"),
    ("metrics", ""),
    ("docs", "maybe"),
    ("page", "maybe"),
    ("log_format", "xml"),
    ("processes", "0"),
    ("processes", "65"),
]


def variable(field: str) -> str:
    """The environment variable of a field."""
    return f"TARFLOW_{field.upper()}"


@pytest.mark.parametrize("field", ServiceSettings.model_fields)
def test_every_field_is_described(field: str) -> None:
    assert ServiceSettings.model_fields[field].description


@pytest.mark.parametrize("field", ServiceSettings.model_fields)
def test_every_field_has_a_default_that_is_allowed(field: str) -> None:
    default = getattr(ServiceSettings(), field)
    assert getattr(ServiceSettings(**{field: default}), field) == default


@pytest.mark.parametrize(
    ("field", "said", "meant"),
    [
        ("redis_url", "unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis_url", "rediss://u:p@redis:6380/1", "rediss://u:p@redis:6380/1"),
        ("host", "0.0.0.0", "0.0.0.0"),
        ("port", "65535", 65535),
        ("wait_s", "60", 60.0),
        ("result_ttl_s", "1", 1),
        ("max_queued", "64", 64),
        ("max_held_bytes", "1", 1),
        ("upload_s", "0.5", 0.5),
        ("api_keys", f"ada:{'0' * 64}", f"ada:{'0' * 64}"),
        ("allow_anonymous", "true", True),
        ("rate_limit", "60/minute", "60/minute"),
        ("metrics", "false", False),
        ("docs", "0", False),
        ("log_format", "json", "json"),
        ("processes", "2", 2),
    ],
)
def test_a_field_is_what_its_variable_says(
    field: str, said: str, meant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable(field), said)
    assert getattr(ServiceSettings(), field) == meant


@pytest.mark.parametrize(("field", "said"), NONSENSE)
def test_nonsense_is_refused_naming_the_field(field: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(field), said)
    with pytest.raises(ValidationError) as caught:
        ServiceSettings()
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(("field", "said"), NONSENSE)
def test_the_command_line_refuses_nonsense_in_one_line_that_names_the_variable(
    field: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable(field), said)
    # An address that cannot be listened on: settings that were let through would not hold up the tests.
    outcome = CliRunner().invoke(app, ["api", "--host", "256.0.0.1"])
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(f"tarflow settings: {variable(field)}: ")
    assert outcome.stderr.count("\n") == 1


def test_every_field_but_the_host_has_bounds() -> None:
    assert {field for field, _ in NONSENSE} == set(ServiceSettings.model_fields) - {"host"}


@pytest.mark.parametrize("show", [repr, str])
def test_settings_show_no_secret(show: Callable[[object], str]) -> None:
    settings = ServiceSettings(redis_url="redis://it:opensesame@redis/0", api_keys=f"ada:{'0' * 64}")
    assert not [secret for secret in ("opensesame", "0" * 64) if secret in show(settings)]


@pytest.mark.parametrize("more", [{"redis_url": "http://it:opensesame@redis"}, {"api_keys": "ada:opensesame"}])
def test_what_is_refused_is_not_repeated(more: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        ServiceSettings(**more)  # type: ignore[arg-type]
    assert "opensesame" not in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ServiceSettings().port = 80


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ("mnist-28", ("mnist-28",)),
        ("a, b ,c", ("a", "b", "c")),
        ("/models/a/,b", ("a", "b")),
        ("/models/afhq_model_8_768_8_8_0.07.pth", ("afhq_model_8_768_8_8_0.07",)),
        ("a,,b,", ("a", "b")),
    ],
)
def test_a_model_is_served_under_the_last_part_of_its_path(models: str, names: tuple[str, ...]) -> None:
    assert ServiceSettings(models=models).model_names == names


def test_two_models_of_one_name_are_refused_and_both_are_named() -> None:
    with pytest.raises(ValidationError, match=r"/one/a and /two/a\.pth would both be served as 'a'"):
        ServiceSettings(models="b,/one/a,/two/a.pth")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("tarflow.internal", "http://tarflow.internal:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("", "http://127.0.0.1:8000"),
    ],
)
def test_the_api_is_met_where_it_listens(host: str, url: str) -> None:
    assert ServiceSettings(host=host).own_url == url
