"""What a worker process is told by its environment.

Owns names, units and defaults; every variable has the prefix `TARFLOW_`.
"""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from telemetry.log_lines import LogFormat
from worker.contract import Kind


class WorkerSettings(BaseSettings):
    """Settings of `tarflow worker`."""

    # What was given is not repeated in an error: it may be a secret.
    model_config = SettingsConfigDict(env_prefix="TARFLOW_", frozen=True, hide_input_in_errors=True)

    redis_url: Annotated[str, Field(description="Redis to work for", repr=False)] = "redis://127.0.0.1:6379/0"
    kind: Annotated[Kind, Field(description="generate or score")] = Kind.GENERATE
    models: Annotated[
        str, NoDecode, Field(description="checkpoint names or paths, comma-separated; the first is served")
    ] = "mnist-28"
    device: Annotated[str, Field(description="auto, cpu, cuda or cuda:N")] = "auto"
    max_batch: Annotated[int, Field(ge=1, le=1024, description="images of a batch; of scores, forward passes")] = 32
    batch_window_ms: Annotated[
        int, Field(ge=0, le=1000, description="milliseconds a batch waits for more jobs; 0 = takes what is there")
    ] = 0
    threads: Annotated[int, Field(ge=0, description="CPU threads that share a batch of pictures; 0 = one a core")] = 0
    metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="port of the worker's metrics and probes; 0 = none")
    ] = 9100
    metrics_host: Annotated[str, Field(min_length=1, description="address of that port")] = "127.0.0.1"
    log_format: Annotated[LogFormat, Field(description="text or json")] = "text"
