"""Laws of what a real Prometheus makes of the live service."""

import subprocess
from functools import partial

import httpx
import pytest

from tests.deploy.conftest import Watched
from tests.deploy.test_monitoring import DASHBOARD
from tests.deploy.tools import tool
from tests.e2e.machine import until

PANELS = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
# What Grafana puts in its place: several scrapes.
RATE_INTERVAL = "20s"


def test_every_process_is_scraped(watched: Watched) -> None:
    for job, targets in watched.targets.items():
        for target in targets:
            until(partial(watched.ask, f'up{{job="{job}", instance="{target}"}} == 1'))


@pytest.mark.parametrize(("title", "query"), PANELS)
def test_every_panel_of_the_dashboard_shows_something(title: str, query: str, watched: Watched) -> None:
    del title
    until(lambda: watched.ask(query.replace("$__rate_interval", RATE_INTERVAL)))


def test_every_rule_can_be_evaluated(watched: Watched) -> None:
    def healths() -> set[str]:
        groups = watched.prometheus.get("/api/v1/rules").json()["data"]["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    until(lambda: "unknown" not in healths())
    assert healths() == {"ok"}


def test_a_service_that_is_well_raises_no_alert(watched: Watched) -> None:
    until(lambda: watched.ask("tarflow:workers"))
    assert watched.ask('ALERTS{alertstate="firing"}') == []


def test_every_process_tells_its_metrics_as_it_should(watched: Watched) -> None:
    promtool = tool("promtool", "apt-get install prometheus")
    for target in (each for targets in watched.targets.values() for each in targets):
        told = httpx.get(f"http://{target}/metrics").text
        checked = subprocess.run((promtool, "check", "metrics"), input=told, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")
