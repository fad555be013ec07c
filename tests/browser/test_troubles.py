"""Owns the laws of what a visitor is told when something is refused or missing, and that it passes without a reload."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.api_keys import new_key
from tests.browser.conftest import Visit, Visitor
from tests.e2e.conftest import Launcher, Site, answers, client
from tests.e2e.machine import RedisServer, free_port, until

WORKER = ("worker", "--kind", "generate", "--model")


@dataclass(frozen=True)
class Parts:
    """An API, and a Redis that may come and go."""

    redis: RedisServer
    url: str


@pytest.fixture
def parts(launcher: Launcher, tiny: str, tmp_path: Path) -> Iterator[Parts]:
    """The API of a model that nobody works for."""
    redis, port = RedisServer(launcher.start, tmp_path), str(free_port())
    redis.start()
    with launcher.running("api", "--port", port, "--models", tiny, redis_url=redis.url), client(int(port)) as http:
        until(lambda: answers(http, "/livez"))
        yield Parts(redis, str(http.base_url))
    redis.stop()


@dataclass(frozen=True)
class Guarded:
    """A service that asks for a key, and gives those who have it little."""

    site: Site
    secret: str

    def enter(self, visitor: Visitor) -> Visitor:
        """Somebody who has found the door locked, and opened it."""
        visitor.refusals_are_meant = True
        visitor.page.goto(str(self.site.http.base_url))
        visitor.await_state("locked")
        visitor.page.get_by_role("button", name="Enter a key").click()
        visitor.page.get_by_label("Key", exact=True).fill(self.secret)
        visitor.page.get_by_role("button", name="Use it").click()
        visitor.await_state("ready")
        return visitor


@pytest.fixture(scope="module")
def guarded(launcher: Launcher, tiny: str) -> Iterator[Guarded]:
    """Such a service, of a model that takes no time."""
    secret, key = new_key("ada")
    with launcher.serving("--models", tiny, api_keys=key.entry, rate_limit="1/second") as site:
        yield Guarded(site, secret)


def test_a_value_out_of_range_is_told_beside_its_field(visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, refusals_are_meant=True)
    visitor.await_state("ready")
    visitor.page.get_by_label("Guidance", exact=True).fill("21")
    visitor.generate()
    words = visitor.page.locator(".field-problem")
    words.wait_for()
    assert "20" in words.inner_text()
    assert visitor.page.locator("#guidance").get_attribute("aria-errormessage") == words.get_attribute("id")
    visitor.picture("out-of-range")
    visitor.page.get_by_label("Guidance", exact=True).fill("2")
    visitor.generate()
    visitor.await_picture()
    assert words.count() == 0


def test_a_problem_of_a_field_that_is_folded_away_unfolds_it(visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, refusals_are_meant=True)
    visitor.await_state("ready")
    fold = visitor.page.locator("summary")
    field = visitor.page.get_by_label("Attention temperature")
    fold.click()
    field.fill("5")
    fold.click()
    assert not field.is_visible()
    visitor.generate()
    words = visitor.page.locator(".field-problem")
    words.wait_for()
    assert words.is_visible()
    assert " 1" in words.inner_text()
    assert field.evaluate("field => field === document.activeElement")


def test_a_wait_that_is_over_leaves_no_listener_behind(visitor: Visitor) -> None:
    visitor.refuse("**/encode", 503, title="No worker")
    assert visitor.page.evaluate(LISTENERS) == 0


def test_who_needs_a_key_is_asked_for_it(visit: Visit, guarded: Guarded) -> None:
    visitor = guarded.enter(visit("about:blank"))
    visitor.generate()
    visitor.await_picture()
    assert visitor.page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 1]


def test_too_much_is_tried_again_by_itself(visit: Visit, guarded: Guarded) -> None:
    visitor = guarded.enter(visit("about:blank"))
    said = visitor.page.evaluate_handle(WORDS)
    bearer = {"Authorization": f"Bearer {guarded.secret}"}
    until(lambda: guarded.site.http.post("/generate", headers=bearer).status_code == 429)
    visitor.generate()
    visitor.await_picture()
    assert any("Rate limited. Trying again in" in words for words in said.json_value())


def test_without_a_worker_the_page_says_so_and_goes_on_once_there_is_one(
    visit: Visit, parts: Parts, launcher: Launcher, tiny: str
) -> None:
    visitor = visit(parts.url, refusals_are_meant=True)
    visitor.await_state("no-worker")
    assert visitor.page.locator("#banner").inner_text().startswith("Nobody is there to work")
    visitor.picture("no-worker")
    visitor.generate()
    visitor.page.locator("#stage [data-words]", has_text="No worker. Trying again in").wait_for()
    with launcher.running(*WORKER, tiny, redis_url=parts.redis.url, metrics_port="0"):
        visitor.await_state("partly")
        visitor.await_picture()
        assert not visitor.page.locator("#banner").is_visible()


def test_where_the_browser_stores_nothing_a_key_lasts_as_long_as_the_page(visit: Visit, guarded: Guarded) -> None:
    visitor = visit("about:blank")
    visitor.page.add_init_script(STORES_NOTHING)
    guarded.enter(visitor)
    visitor.generate()
    visitor.await_picture()


def test_a_banner_moves_nothing(visitor: Visitor) -> None:
    top = "form => form.getBoundingClientRect().top"
    form = visitor.page.locator("#generate-form")
    before = form.evaluate(top)
    visitor.refuse("**/status", 500)
    visitor.page.wait_for_selector("#banner:not([hidden])")
    assert form.evaluate(top) == before


def test_on_a_phone_what_went_wrong_is_in_sight(visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, viewport={"width": 360, "height": 640})
    visitor.await_state("ready")
    visitor.refuse("**/generate?*", 500, title="Internal error", detail="it broke")
    visitor.generate()
    problem = visitor.page.locator("#generate-problem")
    problem.wait_for()
    bottom = problem.evaluate("problem => problem.getBoundingClientRect().bottom")
    assert 0 < bottom <= visitor.page.locator("#foot").evaluate("foot => foot.getBoundingClientRect().top")


def test_a_newer_look_gives_up_an_older_one(visitor: Visitor) -> None:
    visitor.hold("**/status")
    visitor.await_state("late")
    with visitor.page.expect_event("requestfailed", lambda request: request.url.endswith("/status")):
        visitor.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    visitor.held.clear()
    visitor.await_state("ready")


def test_a_kind_of_work_that_nobody_does_is_named(visitor: Visitor, bundled: Site) -> None:
    queues = bundled.http.get("/status").json()["queues"]
    told = [each | {"workers": each["workers"] * (each["kind"] != "score")} for each in queues]
    visitor.page.route("**/status", lambda route: route.fulfill(json={"queues": told}))
    visitor.await_state("partly")
    words = visitor.page.locator(".strip .devices").inner_text()
    assert words.endswith("nobody to score with mnist-28, score with mnist-28-density")


def test_numbers_that_are_old_are_said_to_be(visitor: Visitor) -> None:
    visitor.hold("**/status")
    visitor.await_state("late")
    assert visitor.page.locator(".strip .state").inner_text() == "No answer; as last told"
    visitor.let_go()
    visitor.await_state("ready")


def test_while_redis_is_away_the_page_says_so_and_goes_on_once_it_is_back(visit: Visit, parts: Parts) -> None:
    visitor = visit(parts.url, refusals_are_meant=True)
    visitor.await_state("no-worker")
    parts.redis.stop()
    visitor.await_state("queue-away")
    assert visitor.page.locator("#banner").inner_text().startswith("The queue cannot be reached")
    visitor.picture("queue-away")
    parts.redis.start()
    visitor.await_state("no-worker")


# A browser whose visitor lets no page store anything.
STORES_NOTHING = """for (const name of ["sessionStorage", "localStorage"]) {
    Object.defineProperty(window, name, { get() { throw new DOMException("Access is denied", "SecurityError"); } });
}"""
# How many listeners of an abort there are after two waits of a request that is then refused for good.
LISTENERS = """async () => {
    const { run } = await import("/static/job.js");
    const { signal } = new AbortController();
    let listeners = 0, waits = 0;
    for (const [name, by] of [["addEventListener", 1], ["removeEventListener", -1]]) {
        signal[name] = (...given) => { listeners += by; EventTarget.prototype[name].apply(signal, given); };
    }
    const tell = () => {
        waits += 1;
        if (waits > 2) throw new Error("enough");
    };
    try {
        await run({ path: "/encode", signal, tell });
    } catch (error) {
        if (error.message !== "enough") throw error;
    }
    return listeners;
}"""
# All that the stage ever says, as it says it.
WORDS = """() => {
    const said = [], words = document.querySelector("#stage [data-words]");
    new MutationObserver(() => said.push(words.textContent)).observe(words, {childList: true});
    return said;
}"""
