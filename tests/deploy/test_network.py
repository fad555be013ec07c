"""Laws of who reaches whom: nobody, but the API's clients, Redis's clients, and Prometheus."""

from typing import Any

import pytest

from tests.deploy.manifests import OVERLAYS, WORKERS, overlay

OUTSIDE = {"kubernetes.io/metadata.name": "ingress-nginx"}, None
PROMETHEUS = {"kubernetes.io/metadata.name": "monitoring"}, {"app.kubernetes.io/name": "prometheus"}

each_overlay = pytest.mark.parametrize("name", OVERLAYS)


def into(name: str, workload: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """By port, whom the policies let in to a workload."""
    built = overlay(name)
    policies = [
        each["spec"] for each in built.of("NetworkPolicy") if workload in built.picked_by(each["spec"]["podSelector"])
    ]
    rules = [rule for policy in policies for rule in policy.get("ingress", ())]
    return [(port["port"], rule["from"]) for rule in rules for port in rule["ports"]]


def elsewhere(peer: dict[str, Any]) -> tuple[Any, Any]:
    """The labels of a peer of another namespace: of the namespace, and of its pods."""
    return peer["namespaceSelector"]["matchLabels"], peer.get("podSelector", {}).get("matchLabels")


@each_overlay
def test_what_is_not_named_is_refused_both_ways(name: str) -> None:
    spec = overlay(name).one("NetworkPolicy", "nothing-else")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@each_overlay
def test_only_the_api_and_the_workers_reach_redis(name: str) -> None:
    ((port, peers),) = into(name, "redis")
    assert port == "redis"
    assert [set(peer) for peer in peers] == [{"podSelector"}]
    assert overlay(name).picked_by(peers[0]["podSelector"]) == {"api", *WORKERS}


@each_overlay
@pytest.mark.parametrize("worker", WORKERS)
def test_only_prometheus_reaches_a_worker_and_only_its_metrics(worker: str, name: str) -> None:
    ((port, peers),) = into(name, worker)
    assert port == "metrics"
    assert [elsewhere(peer) for peer in peers] == [PROMETHEUS]


@each_overlay
def test_the_ingress_and_prometheus_reach_the_api(name: str) -> None:
    ((port, peers),) = into(name, "api")
    assert port == "http"
    assert [elsewhere(peer) for peer in peers] == [OUTSIDE, PROMETHEUS]


@each_overlay
def test_the_way_out_leads_to_redis_and_to_names_alone(name: str) -> None:
    built = overlay(name)
    out = [each["spec"] for each in built.of("NetworkPolicy") if each["spec"].get("egress")]
    (policy,) = out
    assert built.picked_by(policy["podSelector"]) == {"api", *WORKERS}
    to_redis, to_names = policy["egress"]
    assert built.picked_by(to_redis["to"][0]["podSelector"]) == {"redis"}
    assert [port["port"] for port in to_redis["ports"]] == [built.container("redis")["ports"][0]["containerPort"]]
    assert {port["port"] for port in to_names["ports"]} == {53}
