"""What the API process is told by its environment.

Owns names, units and defaults; every variable has the prefix `TARFLOW_`.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.admission import DEFAULT_MAX_QUEUED_PASSES
from service.api_keys import ApiKeys
from telemetry.log_lines import LogFormat
from worker.contract import MAX_CLASS_PASSES, MAX_FILES, MAX_IMAGE_PIXELS, model_name

# What listens everywhere, and where it is met from here.
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
# Headers take no more.
LAST_OF_LATIN_1 = "\xff"


def _checked(api_keys: str) -> str:
    """The entries as they are; raises ValueError."""
    ApiKeys.parse(api_keys)
    return api_keys


class ServiceSettings(BaseSettings):
    """Settings of `tarflow api` and `tarflow serve`."""

    # What was given is not repeated in an error: it may be a secret.
    model_config = SettingsConfigDict(env_prefix="TARFLOW_", frozen=True, hide_input_in_errors=True)

    redis_url: Annotated[
        str,
        Field(
            pattern="^(redis|rediss|unix)://",
            description="Redis to queue in; `tarflow serve` starts its own if unset",
            repr=False,
        ),
    ] = "redis://127.0.0.1:6379/0"
    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="port to listen on")] = 8000
    models: Annotated[
        str, Field(pattern="[^, ]", description="model names or paths, comma-separated; first = default")
    ] = "mnist-28,mnist-28-density"
    wait_s: Annotated[float, Field(gt=0, le=60, description="seconds a POST waits for its result by default")] = 30.0
    job_timeout_s: Annotated[int, Field(ge=1, description="seconds a job may run")] = 180
    result_ttl_s: Annotated[
        int, Field(ge=1, description="seconds that what has ended is kept; what waits, a day at least")
    ] = 3600
    max_queued: Annotated[int, Field(ge=64, description="images waiting in a queue, 64 or more; beyond it 429")] = 256
    max_queued_passes: Annotated[
        int,
        Field(
            ge=MAX_CLASS_PASSES + MAX_FILES,
            description="forward passes of scores waiting in a queue, 4160 or more; beyond it 429",
        ),
    ] = DEFAULT_MAX_QUEUED_PASSES
    max_held_bytes: Annotated[int, Field(ge=1, description="bytes that results and their jobs take; beyond it 429")] = (
        2**29
    )
    max_upload_bytes: Annotated[int, Field(ge=1, description="bytes of a request's body")] = 32 * 2**20
    max_image_pixels: Annotated[int, Field(ge=1, description="pixels of one uploaded image")] = MAX_IMAGE_PIXELS
    upload_s: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="seconds a request's body may take to arrive")
    ] = 30.0
    api_keys: Annotated[
        str,
        AfterValidator(_checked),
        Field(description="comma-separated `name:sha256`, made by `tarflow key NAME`; none = no key asked", repr=False),
    ] = ""
    allow_anonymous: Annotated[
        bool, Field(description="listen without keys where other machines reach; else refused")
    ] = False
    rate_limit: Annotated[
        str,
        Field(
            pattern="^([1-9][0-9]{0,8}/(second|minute|hour|day))?$",
            description="POSTs of one client, as `60/minute`, 64 passes of a score one; none = no bound",
        ),
    ] = ""
    metrics: Annotated[bool, Field(description="serve /metrics")] = True
    docs: Annotated[bool, Field(description="serve /docs and /openapi.json")] = True
    page: Annotated[bool, Field(description="serve the page at /")] = True
    log_format: Annotated[LogFormat, Field(description="text or json")] = "text"
    processes: Annotated[int, Field(ge=1, le=64, description="processes of `tarflow api` that share its port")] = 1

    @field_validator("models")
    @classmethod
    def _names_can_be_told(cls, models: str) -> str:
        served: dict[str, str] = {}
        for checkpoint in _parts(models):
            name = model_name(checkpoint)
            if not name.isprintable() or max(name, default="") > LAST_OF_LATIN_1:
                raise ValueError(f"{name!r} cannot be said in a header (X-Model): rename its folder")
            if name in served:
                raise ValueError(f"{served[name]} and {checkpoint} would both be served as {name!r}")
            served[name] = checkpoint
        return models

    @property
    def own_url(self) -> str:
        """Where this machine reaches its API."""
        host = ANY_ADDRESS.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The models as given: names or paths."""
        return tuple(_parts(self.models))

    @property
    def model_names(self) -> tuple[str, ...]:
        """The names the models are served under: the last part of each path."""
        return tuple(model_name(checkpoint) for checkpoint in self.checkpoints)


def _parts(models: str) -> list[str]:
    return [part.strip() for part in models.split(",") if part.strip()]
