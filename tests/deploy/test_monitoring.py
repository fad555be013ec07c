"""Laws of the rules, the alerts and the runbook."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.metrics import QueueCollector, ServiceMetrics
from service.redis_metrics import RedisCollector
from tests.deploy.manifests import overlay
from tests.deploy.tools import REPOSITORY, output, tool
from worker.metrics import WorkerMetrics

MONITORING = REPOSITORY / "monitoring"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
TESTED = [
    each["alertname"]
    for test in yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    for each in test.get("alert_rule_test", ())
    if each["exp_alerts"]
]
RUNBOOK = (REPOSITORY / "docs" / "runbook.md").read_text()
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def promtool(*arguments: str) -> str:
    """What promtool says."""
    return output(tool("promtool", "apt-get install prometheus"), *arguments)


def hold_to(name: str, test: dict[str, Any], folder: Path) -> None:
    """Hold the rules of an overlay to a test of promtool."""
    (rule,) = overlay(name).of("PrometheusRule")
    (folder / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    (folder / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [test]}))
    promtool("test", "rules", str(folder / "test.yml"))


def told() -> set[str]:
    """The names of every metric of ours, whatever Redis has to say."""
    with Redis(port=1, retry=Retry(NoBackoff(), 0)) as nobody:
        registries = (ServiceMetrics(nobody, ()).registry, WorkerMetrics().registry)
        text = b"".join(generate_latest(registry) for registry in registries).decode()
        read_from_redis = [*QueueCollector(nobody, ()).describe(), *RedisCollector(nobody).describe()]
    return {*re.findall(r"^# HELP (\w+)", text, re.MULTILINE), *(family.name for family in read_from_redis)}


def test_prometheus_accepts_our_configuration_and_rules() -> None:
    promtool("check", "config", str(MONITORING / "prometheus.yml"))


def test_the_rules_do_what_their_tests_say() -> None:
    promtool("test", "rules", str(MONITORING / "rules_test.yml"))


@pytest.mark.parametrize(
    ("status", "name", "errors"),
    [("503", "cpu", True), ("503", "keda", False), ("500", "keda", True)],
)
def test_a_refusal_that_wakes_a_worker_is_no_error(status: str, name: str, errors: bool, tmp_path: Path) -> None:
    fired = {
        "exp_labels": {"severity": "critical"},
        "exp_annotations": {
            "summary": "50% of the answers to work are errors of ours",
            "runbook": "docs/runbook.md#tarflowerrors",
        },
    }
    answers = [
        {"series": f'tarflow_http_requests_total{{route="/generate", status="{each}"}}', "values": "0+10x30"}
        for each in ("200", status)
    ]
    expected = {"eval_time": "20m", "alertname": "TarflowErrors", "exp_alerts": [fired] if errors else []}
    hold_to(name, {"interval": "1m", "input_series": answers, "alert_rule_test": [expected]}, tmp_path)


@pytest.mark.parametrize(
    ("name", "refusals", "workers", "fires"),
    [
        ("cpu", "0x60", "0x60", True),
        ("keda", "0x60", "0x60", False),
        ("keda", "0x20 1x40", "0x60", True),
        ("keda", "0x20 1x40", "0x25 1x35", False),
    ],
    ids=["no worker", "none asked for", "none came", "one came"],
)
def test_no_generate_worker_is_trouble_to_a_scaler_to_zero_where_none_comes(
    name: str, refusals: str, workers: str, fires: bool, tmp_path: Path
) -> None:
    series = [
        {"series": 'tarflow_rejected_total{reason="NoWorker"}', "values": refusals},
        {"series": 'tarflow_workers{model="m", kind="generate"}', "values": workers},
    ]
    fired = {
        "exp_labels": {"severity": "critical", "model": "m", "kind": "generate"},
        "exp_annotations": {
            "summary": "Nobody works on generate jobs of m",
            "runbook": "docs/runbook.md#tarflownoworker",
        },
    }
    expected = {"eval_time": "34m", "alertname": "TarflowNoWorker", "exp_alerts": [fired] if fires else []}
    hold_to(name, {"interval": "1m", "input_series": series, "alert_rule_test": [expected]}, tmp_path)


@each_alert
def test_every_alert_is_tested_to_fire(alert: dict[str, Any]) -> None:
    assert alert["alert"] in TESTED


@each_alert
def test_every_alert_leads_to_a_paragraph_of_the_runbook(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    assert alert["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
    (paragraph,) = re.findall(rf"^## {name}\n\n(.+?)\n$", RUNBOOK, re.MULTILINE)
    assert len(paragraph.split()) > 20


def test_the_runbook_has_no_paragraph_for_an_alert_that_is_gone() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == [each["alert"] for each in ALERTS]


@each_alert
def test_every_alert_says_how_bad_it_is(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"warning", "critical"}


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {
        name for text in [*QUERIES, *(rule["expr"] for rule in RULES)] for name in re.findall(r"\btarflow_\w+", text)
    }
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= told()


def test_every_recording_that_is_asked_for_is_recorded() -> None:
    expressions = [*QUERIES, *(rule["expr"] for rule in RULES)]
    assert {name for text in expressions for name in re.findall(r"\btarflow:[\w:]+", text)} <= RECORDED


def test_the_dashboard_counts_the_requests_that_the_alerts_count() -> None:
    assert [text for text in QUERIES if "tarflow_http_requests_total" in text] == []
    shares = {text for rule in ALERTS for text in re.findall(r"sum\((tarflow:\w+:rate5m)\{status", rule["expr"])}
    assert {name for text in QUERIES for name in re.findall(r"tarflow:\w+:rate5m", text)} == shares


def test_grafana_finds_the_data_source_of_the_dashboard() -> None:
    provided = yaml.safe_load((MONITORING / "grafana" / "datasource.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {each["uid"] for each in provided}
