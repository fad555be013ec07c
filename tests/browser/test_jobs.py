"""Owns the laws of a job that the page follows: who ends it, and what is said while nothing is heard of it."""

import re
from collections.abc import Iterator

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.browser.conftest import Visit, Visitor
from tests.e2e.conftest import Launcher, Site
from tests.e2e.machine import until

# By the browser's clock: a silence of the worker, and one of the connection, where something comes every 15 seconds.
NO_NEWS, NO_BYTE = "00:30", "01:00"


@pytest.fixture(scope="module")
def site(launcher: Launcher, slow: str) -> Iterator[Site]:
    """A service that takes seconds for what a visitor wants."""
    with launcher.serving("--models", slow) as site:
        yield site


@pytest.fixture
def patient(visit: Visit, site: Site) -> Visitor:
    """Somebody who wants sixteen pictures of it, with a clock that can be put forward."""
    visitor = visit("about:blank")
    visitor.page.clock.install()
    visitor.page.goto(str(site.http.base_url))
    visitor.await_state("ready")
    visitor.page.get_by_label("Pictures", exact=True).fill("16")
    return visitor


def await_block(visitor: Visitor) -> None:
    """Wait for any block: one may be over between two looks of the browser's driver."""
    visitor.page.locator("#stage [data-words]", has_text=re.compile(r"Block \d of 8")).wait_for()


def test_what_runs_can_be_cancelled(patient: Visitor) -> None:
    patient.generate()
    await_block(patient)
    patient.page.get_by_role("button", name="Cancel").click()
    patient.page.get_by_text("Cancelled. Every picture begins as noise").wait_for()
    patient.page.locator(".strip span", has_text="0 running").wait_for()
    assert patient.page.locator("#gallery-grid img").count() == 0


def test_a_page_that_is_left_cancels_what_it_asked_for(patient: Visitor) -> None:
    with patient.page.expect_request("**/jobs/*/events") as asked:
        patient.generate()
    job = asked.value.url.removesuffix("/events")
    await_block(patient)
    patient.page.reload()
    until(lambda: httpx.get(job).json()["state"] == "cancelled")


def test_a_job_that_was_asked_for_twice_ends_with_the_last_who_gives_it_up(patient: Visitor, site: Site) -> None:
    (job,) = set(patient.page.evaluate(TWICE))
    until(lambda: site.http.get(f"/jobs/{job}").json()["state"] == "cancelled")


def test_a_job_whose_events_are_refused_for_good_is_cancelled(patient: Visitor) -> None:
    patient.refuse("**/jobs/*/events", 500, title="Internal error", detail="it broke")
    with patient.page.expect_request(lambda request: request.method == "DELETE"):
        patient.generate()
    patient.view.get_by_text("it broke").wait_for()


@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_that_fails_for_a_moment_ends_nothing(status: int, visitor: Visitor) -> None:
    visitor.refusals_are_meant = True
    visitor.page.route("**/jobs/*/events", lambda route: route.fulfill(status=status, body="<html>"), times=1)
    visitor.generate()
    visitor.await_picture()


def test_while_nothing_is_heard_of_a_job_that_runs_it_is_said_since_when(patient: Visitor, site: Site) -> None:
    worker = site.program.worker("generate")
    assert worker is not None
    patient.generate()
    await_block(patient)
    worker.suspend()
    try:
        patient.page.clock.fast_forward(NO_NEWS)
        patient.view.get_by_text(re.compile(r"No news since \d\d:\d\d:\d\d\.")).wait_for()
        patient.picture("no-news")
    finally:
        worker.resume()
    patient.page.wait_for_selector("#stage .many")
    assert patient.view.get_by_text("No news since").count() == 0


def test_a_connection_that_falls_silent_is_taken_up_again(patient: Visitor, site: Site) -> None:
    api = psutil.Process(site.program.process.pid)
    patient.generate()
    await_block(patient)
    api.suspend()
    try:
        patient.page.clock.fast_forward(NO_BYTE)
        patient.view.get_by_text("Interrupted. Trying again in 1 s.").wait_for()
    finally:
        api.resume()
    patient.page.wait_for_selector("#stage .many")


def test_a_job_that_is_given_up_before_it_is_accepted_is_cancelled_then(visitor: Visitor) -> None:
    visitor.hold("**/generate?*")
    with visitor.page.expect_request("**/generate?*"):
        visitor.generate()
    visitor.press("Cancel")
    visitor.page.get_by_text("Cancelled. Every picture begins as noise").wait_for()
    visitor.refusals_are_meant = True
    with visitor.page.expect_request(lambda request: request.method == "DELETE"):
        visitor.let_go()


# The job of each of two who ask for the same and give it up once both have it.
TWICE = """async () => {
    const { run } = await import("/static/job.js");
    const controllers = [new AbortController(), new AbortController()];
    const accepted = ({ signal }) => new Promise((resolve) => {
        const tell = (event, { jobId }) => event === "accepted" && resolve(jobId);
        run({ path: "/generate", query: { n: 16, class: "0", seed: "77" }, signal, tell }).catch(() => {});
    });
    const jobs = await Promise.all(controllers.map(accepted));
    for (const controller of controllers) controller.abort();
    return jobs;
}"""
