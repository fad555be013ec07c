"""Laws of the manifests: every object fits its schema, and what they name is there."""

import re
import tomllib
from typing import Any

import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
from kubernetes_validate import utils as kubernetes_validate
from pydantic import BaseModel
from starlette.routing import Route

from service.app import create_app
from service.settings import ServiceSettings
from tests.deploy.manifests import OVERLAYS, WORKERS, mappings, overlay
from tests.deploy.tools import REPOSITORY
from worker.leases import GRACE_S
from worker.settings import WorkerSettings

OURS = ("api", *WORKERS)
FIELDS: dict[str, set[str]] = {
    "api": set(ServiceSettings.model_fields),
    **{worker: set(WorkerSettings.model_fields) for worker in WORKERS},
}
# What a worker's own port answers, beside its metrics.
WORKER_PATHS = {"/livez", "/readyz", "/metrics"}
NOT_FOR_THE_WORLD = {"/livez", "/readyz", "/metrics"}
# Whom to believe who a client is.
UVICORNS = "FORWARDED_ALLOW_IPS"
CUSTOM = {"keda.sh/v1alpha1": keda, "monitoring.coreos.com/v1": prometheus_operator}
CORES = re.compile(r"^ +cpu: '\d+'\n", re.MULTILINE)
EXAMPLE_SECRET = yaml.safe_load((REPOSITORY / "k8s/base/secret.example.yaml").read_text())

each_overlay = pytest.mark.parametrize("name", OVERLAYS)


def unknown_keys(given: Any, known: Any, path: str = "") -> list[str]:
    """The paths of a document that its model has dropped."""
    if isinstance(given, dict):
        return [
            lost
            for key, value in given.items()
            for lost in (unknown_keys(value, known[key], f"{path}.{key}") if key in known else [f"{path}.{key}"])
        ]
    if isinstance(given, list):
        return [lost for i, each in enumerate(given) for lost in unknown_keys(each, known[i], f"{path}[{i}]")]
    return []


def routes() -> set[str]:
    """The paths of everything that the API answers."""
    app = create_app(ServiceSettings(redis_url="redis://127.0.0.1:1/0"))
    schema = {route.path for route in app.routes if isinstance(route, Route)} | set(app.openapi()["paths"])
    return schema | set(app.state.house.files)


@each_overlay
def test_every_object_of_kubernetes_fits_its_schema(name: str) -> None:
    for each in (*overlay(name).objects, EXAMPLE_SECRET):
        if each["apiVersion"] not in CUSTOM:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


@each_overlay
def test_every_custom_object_fits_its_model(name: str) -> None:
    for each in overlay(name).objects:
        if module := CUSTOM.get(each["apiVersion"]):
            model: type[BaseModel] = getattr(module, each["kind"])
            known = model.model_validate(each).model_dump(by_alias=True, mode="json", exclude_unset=True)
            assert unknown_keys(each, known) == []


@each_overlay
def test_every_object_but_the_namespace_lies_in_it(name: str) -> None:
    assert {each["metadata"].get("namespace") for each in overlay(name).objects if each["kind"] != "Namespace"} == {
        "tarflow"
    }


@each_overlay
def test_a_selector_picks_the_pods_that_it_is_named_for(name: str) -> None:
    built = overlay(name)
    for each in built.workloads():
        assert built.picked_by(each["spec"]["selector"]) == {each["metadata"]["name"]}
    for each in built.of("Service"):
        assert built.picked_by({"matchLabels": each["spec"]["selector"]}) == {each["metadata"]["name"]}
    for each in built.of("PodDisruptionBudget"):
        assert built.picked_by(each["spec"]["selector"]) == {each["metadata"]["name"]}
    for each in built.of("Deployment"):
        (spread,) = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == each["spec"]["selector"]


@each_overlay
def test_a_service_leads_to_a_port_that_is_there(name: str) -> None:
    built = overlay(name)
    for each in built.of("Service"):
        named = {port["name"] for port in built.container(each["metadata"]["name"])["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= named


@each_overlay
def test_a_port_has_the_number_of_the_setting(name: str) -> None:
    built = overlay(name)
    assert built.container("api")["ports"] == [{"name": "http", "containerPort": ServiceSettings().port}]
    for worker in WORKERS:
        expected = [{"name": "metrics", "containerPort": WorkerSettings().metrics_port}]
        assert built.container(worker)["ports"] == expected


@each_overlay
@pytest.mark.parametrize("workload", OURS)
def test_every_variable_is_a_setting_of_who_gets_it(workload: str, name: str) -> None:
    own = {each["name"] for each in overlay(name).container(workload)["env"]} - {"REDIS_PASSWORD", UVICORNS}
    assert own <= {f"TARFLOW_{field.upper()}" for field in FIELDS[workload]}


@each_overlay
def test_what_all_are_given_is_a_setting_of_one(name: str) -> None:
    (shared,) = [each for each in overlay(name).of("ConfigMap") if each["metadata"]["name"].startswith("tarflow-")]
    assert set(shared["data"]) <= {f"TARFLOW_{field.upper()}" for fields in FIELDS.values() for field in fields}


@each_overlay
def test_every_secret_is_in_the_template(name: str) -> None:
    wanted = [each["secretKeyRef"] for each in mappings(list(overlay(name).objects)) if "secretKeyRef" in each]
    assert {each["name"] for each in wanted} == {EXAMPLE_SECRET["metadata"]["name"]}
    assert {each["key"] for each in wanted} == set(EXAMPLE_SECRET["stringData"])


def test_the_template_of_secrets_holds_none() -> None:
    assert set(EXAMPLE_SECRET["stringData"].values()) == {""}


@each_overlay
def test_every_configuration_that_is_named_is_there(name: str) -> None:
    built = overlay(name)
    there = {each["metadata"]["name"] for each in built.of("ConfigMap")}
    pods = [each["spec"]["template"]["spec"] for each in built.workloads()]
    named = {each["configMap"]["name"] for pod in pods for each in pod.get("volumes", ()) if "configMap" in each}
    named |= {each["configMapRef"]["name"] for each in mappings(pods) if "configMapRef" in each}
    assert named == there


@each_overlay
@pytest.mark.parametrize("workload", OURS)
def test_every_probe_asks_for_what_is_answered(workload: str, name: str) -> None:
    container = overlay(name).container(workload)
    asked = [container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert {each["path"] for each in asked} <= (routes() if workload == "api" else WORKER_PATHS)
    assert {each["port"] for each in asked} == {container["ports"][0]["name"]}
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@each_overlay
@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_has_minutes_to_load_its_weights(worker: str, name: str) -> None:
    probe = overlay(name).container(worker)["startupProbe"]
    assert probe["httpGet"]["path"] == "/readyz"
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 300


@each_overlay
@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_has_time_to_end_its_longest_batch(worker: str, name: str) -> None:
    assert overlay(name).pod(worker)["terminationGracePeriodSeconds"] > ServiceSettings().job_timeout_s + GRACE_S


@each_overlay
def test_the_two_workers_differ_in_their_kind_and_cores_alone(name: str) -> None:
    built = overlay(name)
    as_text = {kind: CORES.sub("", yaml.safe_dump(built.one("Deployment", kind))) for kind in WORKERS}
    assert re.sub(r"\bscore\b", "generate", as_text["score"]) == as_text["generate"]
    for kind in WORKERS:
        assert built.environment(kind)["TARFLOW_KIND"] == kind


def test_the_workers_have_the_device_of_their_overlay() -> None:
    for worker in WORKERS:
        devices = {name: overlay(name).environment(worker)["TARFLOW_DEVICE"] for name in OVERLAYS}
        assert devices == {"cpu": "cpu", "gpu": "cuda", "keda": "cuda"}
        gpus = {name: overlay(name).container(worker)["resources"]["limits"].get("nvidia.com/gpu") for name in OVERLAYS}
        assert gpus == {"cpu": None, "gpu": 1, "keda": 1}


@each_overlay
def test_a_score_worker_asks_for_the_one_core_that_it_computes_on(name: str) -> None:
    assert overlay(name).container("score")["resources"]["requests"]["cpu"] == "1"


@each_overlay
def test_the_world_reaches_every_route_but_those_of_operation(name: str) -> None:
    (rule,) = overlay(name).one("Ingress", "api")["spec"]["rules"]
    paths = {(each["path"], each["pathType"]) for each in rule["http"]["paths"]}

    def open_to_the_world(route: str) -> bool:
        return any(route == path or (kind == "Prefix" and route.startswith(f"{path}/")) for path, kind in paths)

    assert {route for route in routes() if not open_to_the_world(route)} == NOT_FOR_THE_WORLD
    for path, _ in paths:
        assert any(f"{route}/".startswith(f"{path}/") for route in routes()), path
    backends = [each["backend"]["service"] for each in rule["http"]["paths"]]
    assert all(backend == {"name": "api", "port": {"name": "http"}} for backend in backends)


@each_overlay
def test_the_ingress_lets_through_the_longest_wait_and_the_largest_upload(name: str) -> None:
    notes = overlay(name).one("Ingress", "api")["metadata"]["annotations"]
    assert int(notes["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > 60
    assert notes["nginx.ingress.kubernetes.io/proxy-body-size"] == f"{ServiceSettings().max_upload_bytes // 2**20}m"


@each_overlay
def test_every_scaler_scales_what_is_there_and_nothing_twice(name: str) -> None:
    built = overlay(name)
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in built.of("HorizontalPodAutoscaler", "ScaledObject")]
    assert sorted(scaled) == sorted(set(scaled))
    for each in scaled:
        assert "replicas" not in built.one("Deployment", each)["spec"]


def test_pictures_scale_to_zero_and_scores_do_not() -> None:
    least = {each["metadata"]["name"]: each["spec"]["minReplicaCount"] for each in overlay("keda").of("ScaledObject")}
    assert least == {"generate": 0, "score": 1}


def test_the_first_trigger_counts_queued_and_running_jobs_of_its_kind() -> None:
    for each in overlay("keda").of("ScaledObject"):
        query = each["spec"]["triggers"][0]["metadata"]["query"]
        assert set(re.findall(r"tarflow_\w+", query)) == {"tarflow_queue_depth", "tarflow_jobs_running"}
        assert set(re.findall(r'kind="(\w+)"', query)) == {each["metadata"]["name"]}


def test_every_trigger_has_the_metadata_that_its_scaler_needs() -> None:
    triggers = [trigger for each in overlay("keda").of("ScaledObject") for trigger in each["spec"]["triggers"]]
    optional = {"activationThreshold", "ignoreNullValues"}
    for trigger in triggers:
        assert trigger["type"] == "prometheus"
        assert set(trigger["metadata"]) - optional == {"serverAddress", "query", "threshold"}
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


@each_overlay
def test_the_monitors_find_the_pods_that_tell(name: str) -> None:
    built = overlay(name)
    of_pods, of_services = built.one("PodMonitor", "workers"), built.one("ServiceMonitor", "api")
    assert built.picked_by(of_pods["spec"]["selector"]) == set(WORKERS)
    assert [each["port"] for each in of_pods["spec"]["podMetricsEndpoints"]] == ["metrics"]
    service = built.one("Service", "api")
    assert of_services["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [each["port"] for each in of_services["spec"]["endpoints"]] == [service["spec"]["ports"][0]["name"]]


@each_overlay
def test_every_monitored_job_has_the_name_that_compose_gives_it(name: str) -> None:
    configuration = yaml.safe_load((REPOSITORY / "monitoring/prometheus.yml").read_text())
    endpoints = [
        endpoint
        for each in overlay(name).of("PodMonitor", "ServiceMonitor")
        for endpoint in each["spec"].get("endpoints", each["spec"].get("podMetricsEndpoints"))
    ]
    jobs = {rule["replacement"] for each in endpoints for rule in each["relabelings"] if rule["targetLabel"] == "job"}
    assert jobs == {each["job_name"] for each in configuration["scrape_configs"]}


@each_overlay
def test_a_scrape_outlasts_a_redis_that_hangs(name: str) -> None:
    ours = yaml.safe_load((REPOSITORY / "monitoring/prometheus.yml").read_text())["global"]
    times = [(ours["scrape_timeout"], ours["scrape_interval"])]
    for each in overlay(name).of("PodMonitor", "ServiceMonitor"):
        endpoints = each["spec"].get("endpoints", each["spec"].get("podMetricsEndpoints"))
        times += [(endpoint["scrapeTimeout"], endpoint["interval"]) for endpoint in endpoints]
    assert len(times) == 3
    for timeout, interval in times:
        assert 5 <= int(timeout.removesuffix("s")) <= int(interval.removesuffix("s"))


def test_the_rules_of_both_ways_are_the_same() -> None:
    ours = yaml.safe_load((REPOSITORY / "monitoring/rules.yml").read_text())
    (of_the_operator,) = overlay("cpu").of("PrometheusRule")
    assert of_the_operator["spec"] == ours


@each_overlay
def test_our_images_have_the_version_of_the_project(name: str) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    device = "cpu" if name == "cpu" else "cuda"
    assert overlay(name).container("api")["image"] == f"tarflow-service:{version}"
    assert {overlay(name).container(worker)["image"] for worker in WORKERS} == {f"tarflow-worker:{version}-{device}"}


def test_redis_has_room_for_twice_the_pictures_and_its_container_for_twice_of_that() -> None:
    built = overlay("cpu")
    (configuration,) = [each["data"]["redis.conf"] for each in built.of("ConfigMap") if "redis.conf" in each["data"]]
    assert "maxmemory 1gb" in configuration.splitlines()
    assert "maxmemory-policy noeviction" in configuration.splitlines()
    assert "appendonly yes" in configuration.splitlines()
    held = built.environment("api").get("TARFLOW_MAX_HELD_BYTES", ServiceSettings().max_held_bytes)
    assert 2 * int(held) <= 2**30
    assert built.container("redis")["resources"]["limits"]["memory"] == "2Gi"
