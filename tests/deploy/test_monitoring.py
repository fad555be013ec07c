"""Laws of the rules, the alerts and the runbook."""

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from redis import Redis

from service.metrics import QueueCollector, ServiceMetrics
from service.redis_metrics import RedisCollector
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


def told() -> set[str]:
    """The names of every metric of ours, whatever Redis has to say."""
    with Redis(port=1) as nobody:
        registries = (ServiceMetrics(nobody, ()).registry, WorkerMetrics().registry)
        text = b"".join(generate_latest(registry) for registry in registries).decode()
        read_from_redis = [*QueueCollector(nobody, ()).describe(), *RedisCollector(nobody).describe()]
    return {*re.findall(r"^# HELP (\w+)", text, re.MULTILINE), *(family.name for family in read_from_redis)}


def test_prometheus_accepts_our_configuration_and_rules() -> None:
    promtool("check", "config", str(MONITORING / "prometheus.yml"))


def test_the_rules_do_what_their_tests_say() -> None:
    promtool("test", "rules", str(MONITORING / "rules_test.yml"))


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


def test_grafana_finds_the_data_source_of_the_dashboard() -> None:
    provided = yaml.safe_load((MONITORING / "grafana" / "datasource.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {each["uid"] for each in provided}
