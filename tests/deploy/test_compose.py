"""Laws of the compose files: what `docker compose config` makes of them."""

import json
import re
from functools import cache
from typing import Any

import pytest

from service.settings import ServiceSettings
from tests.deploy.manifests import WORKERS, overlay
from tests.deploy.tools import REPOSITORY, compose, output
from worker.leases import GRACE_S
from worker.settings import WorkerSettings

OURS = ("api", *WORKERS)
ALL = (*OURS, "grafana", "prometheus", "redis")
BASE, GPU, DASHBOARDS = "docker-compose.yml", "docker-compose.gpu.yml", "docker-compose.dashboards.yml"
FIELDS = {"api": ServiceSettings.model_fields, **dict.fromkeys(WORKERS, WorkerSettings.model_fields)}
# On one machine the published port is this machine's alone, and that is protection enough to begin with.
LAPTOP_ONLY = {"TARFLOW_ALLOW_ANONYMOUS"}


@cache
def services(*files: str, **environment: str) -> dict[str, Any]:
    """The services as these files define them together."""
    named = [argument for file in files for argument in ("-f", file)]
    given = {"REDIS_PASSWORD": "secret", "TARFLOW_API_KEYS": "", **environment}
    text = output(*compose(*named, "config", "--format", "json"), **given)
    return dict(json.loads(text)["services"])


def test_these_are_the_services() -> None:
    assert sorted(services(BASE)) == sorted(ALL)


def test_it_asks_for_a_password() -> None:
    with pytest.raises(AssertionError, match="REDIS_PASSWORD"):
        output(*compose("--env-file", "/dev/null", "config"), REDIS_PASSWORD="")


@pytest.mark.parametrize("name", ALL)
def test_only_the_port_of_the_api_is_published_and_to_this_machine_alone(name: str) -> None:
    ports = [(each["host_ip"], each["target"]) for each in services(BASE)[name].get("ports", ())]
    assert ports == ([("127.0.0.1", ServiceSettings().port)] if name == "api" else [])


def test_the_dashboards_are_published_to_this_machine_alone() -> None:
    built = services(BASE, DASHBOARDS)
    ports = [(name, each["host_ip"]) for name in sorted(ALL) for each in built[name].get("ports", ())]
    assert ports == [("api", "127.0.0.1"), ("grafana", "127.0.0.1"), ("prometheus", "127.0.0.1")]


@pytest.mark.parametrize("name", sorted(set(ALL) - {"api"}))
def test_nothing_but_the_api_is_reached_from_outside(name: str) -> None:
    assert list(services(BASE)[name]["networks"]) == ["inside"]


@pytest.mark.parametrize("name", ALL)
def test_it_is_started_again_when_it_dies(name: str) -> None:
    assert services(BASE)[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ALL)
def test_it_gains_no_rights(name: str) -> None:
    service = services(BASE)[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ulimits" not in service


@pytest.mark.parametrize("name", sorted(set(ALL) - {"grafana"}))
def test_its_root_file_system_is_read_only(name: str) -> None:
    assert services(BASE)[name]["read_only"] is True


@pytest.mark.parametrize("name", ALL)
def test_it_can_be_scaled(name: str) -> None:
    assert "container_name" not in services(BASE)[name]


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_its_own_is_a_setting(name: str) -> None:
    environment = set(services(BASE)[name]["environment"]) - set(shared())
    assert environment <= {f"TARFLOW_{field.upper()}" for field in FIELDS[name]}


@pytest.mark.parametrize("name", OURS)
def test_it_has_the_environment_of_the_manifests(name: str) -> None:
    here = dict(services(BASE)[name]["environment"])
    there = overlay("cpu").environment(name)
    assert here.pop("TARFLOW_REDIS_URL") == there.pop("TARFLOW_REDIS_URL").replace("$(REDIS_PASSWORD)", "secret")
    # Secrets differ, and only in the cluster stands a proxy between the clients and the API.
    for apart in ("REDIS_PASSWORD", "TARFLOW_API_KEYS", "FORWARDED_ALLOW_IPS"):
        there.pop(apart, None)
        here.pop(apart, None)
    assert {key: value for key, value in here.items() if key not in LAPTOP_ONLY} == there


def test_redis_is_the_one_of_the_manifests() -> None:
    redis = services(BASE)["redis"]
    container = overlay("cpu").container("redis")
    assert redis["image"] == container["image"]
    assert redis["command"] == [each.replace("$(REDIS_PASSWORD)", "secret") for each in container["args"]]
    assert redis["healthcheck"]["test"][1:] == container["livenessProbe"]["exec"]["command"]
    assert redis["user"] == f"{overlay('cpu').pod('redis')['securityContext']['runAsUser']}:999"


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_has_time_to_end_its_longest_batch(worker: str) -> None:
    minutes, seconds = re.fullmatch(r"(\d+)m(\d+)s", services(BASE)[worker]["stop_grace_period"]).groups()  # type: ignore[union-attr]
    assert 60 * int(minutes) + int(seconds) > ServiceSettings().job_timeout_s + GRACE_S


@pytest.mark.parametrize("name", OURS)
def test_our_images_are_those_of_the_manifests(name: str) -> None:
    assert services(BASE)[name]["image"] == overlay("cpu").container(name)["image"]
    assert services(BASE, GPU)[name]["image"] == overlay("gpu").container(name)["image"]


@pytest.mark.parametrize("worker", WORKERS)
def test_a_gpu_is_one_file_away(worker: str) -> None:
    service = services(BASE, GPU)[worker]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert service["environment"]["TARFLOW_DEVICE"] == "cuda"
    assert service["build"]["args"]["TORCH"] == "torch==2.13.0"
    assert "deploy" not in services(BASE)[worker]


@pytest.mark.parametrize("worker", WORKERS)
def test_what_is_chosen_for_cpus_is_not_built_for_a_gpu(worker: str) -> None:
    chosen = {"TORCH": "torch==2.13.0+cpu", "PIP_EXTRA_INDEX_URL": "https://cpu.example/"}
    for_cpus, for_a_gpu = (services(*files, **chosen)[worker]["build"]["args"] for files in ((BASE,), (BASE, GPU)))
    assert chosen.items() <= for_cpus.items()
    assert (for_a_gpu["TORCH"], for_a_gpu["PIP_EXTRA_INDEX_URL"]) == ("torch==2.13.0", "")


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_file_that_it_mounts_is_there(name: str) -> None:
    binds = [each["source"] for each in services(BASE)[name].get("volumes", ()) if each["type"] == "bind"]
    assert [each for each in binds if not (REPOSITORY / each).exists()] == []


def shared() -> list[str]:
    """The variables that all of ours are given."""
    return [line.partition("=")[0] for line in (REPOSITORY / "k8s/base/tarflow.env").read_text().splitlines()]
