"""A real browser over live services: Playwright drives this machine's Chromium.

Owns the browser, its visitors, what their consoles may say, and the images that they bring. Knows no law.
"""

import base64
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from PIL import Image

from model.checkpoint import BUNDLED
from tests.e2e.conftest import Launcher, Site, launcher, slow, tiny

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

__all__ = ["launcher", "slow", "tiny"]

MODELS = ("mnist-28", "mnist-28-density")
# Set by .ci/run, which installs a browser: a law that is skipped there would be no law.
REQUIRED = "REQUIRE_BROWSER"
# Where a person can look at what the page looked like.
SCREENSHOTS = "TARFLOW_SCREENSHOTS"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_MS = 30_000
DESK = {"width": 1280, "height": 900}
# Chromium's own word on an answer that is no success: each is said on the page, too.
REFUSAL = "Failed to load resource"


@dataclass
class Visitor:
    """Somebody with the page open, who notes what its console complains of."""

    page: "Page"
    refusals_are_meant: bool = False
    complaints: list[str] = field(default_factory=list)
    held: "list[Route]" = field(default_factory=list)

    def hear(self) -> None:
        """Note every error and warning from now on."""
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self._note(said.type, said.text))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not (self.refusals_are_meant and text.startswith(REFUSAL)):
            self.complaints.append(text)

    def await_state(self, state: str) -> None:
        """Wait until the strip says where the service stands."""
        self.page.wait_for_selector(f".strip[data-state={state}]", timeout=3 * TIMEOUT_MS)

    def go(self, view: str) -> None:
        """Show a view, as a click on its name does."""
        self.page.get_by_role("navigation").get_by_role("link", name=view, exact=True).click()

    def press(self, name: str) -> None:
        """Press a button that can be seen, of the dialog where there is one."""
        self.page.locator(f"main button:text-is('{name}'):visible, dialog[open] button:text-is('{name}')").last.click()

    @property
    def view(self) -> "Locator":
        """The view that is shown."""
        return self.page.locator("main > section:not([hidden])")

    def hold(self, path: str) -> None:
        """Hold the next request of this path back until it is let go."""
        self.page.route(path, lambda route: self.held.append(route), times=1)

    def let_go(self) -> None:
        """Let every request that is held back go on its way."""
        while self.held:
            self.held.pop().continue_()

    def refuse(self, path: str, status: int, retry_after_s: int | None = None, **body: Any) -> None:
        """Let every request of this path be refused, as the service or its proxy might."""
        self.refusals_are_meant = True
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        self.page.route(path, lambda route: route.fulfill(status=status, headers=headers, json=body))

    def choose_class(self, name: str) -> None:
        """Choose a class of the view that is shown, as a person would type it."""
        self.view.get_by_role("combobox", name="Class").first.fill(name)
        self.page.keyboard.press("Enter")

    def generate(self) -> None:
        """Press the button of the first view."""
        self.page.get_by_role("button", name="Generate", exact=True).click()

    def await_picture(self) -> None:
        """Wait until a picture is there with its tools."""
        self.page.wait_for_selector("#stage a[download]")

    def picture(self, name: str) -> None:
        """Keep a picture of the page, where somebody asked for them."""
        if folder := os.environ.get(SCREENSHOTS):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png")


Visit = Callable[..., Visitor]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is; what is asked of it is skipped where it, or playwright, is not there."""
    if find_spec("playwright") is None:
        _do_without("playwright is not installed: pip install -e '.[browser]'")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        _do_without("there is no Chromium: apt-get install chromium")
    return path


# Not of the session: while playwright runs, no other test of its process could run an event loop.
@pytest.fixture(scope="module")
def browser(chromium: str) -> "Iterator[Browser]":
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Its sandbox is not for root, who runs the tests of continuous integration.
        yield driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture(scope="session")
def bundled(chromium: str, launcher: Launcher) -> Iterator[Site]:
    """`tarflow serve` with the bundled checkpoints."""
    assert chromium
    for name in MODELS:
        if not (BUNDLED / name).is_dir():
            pytest.skip(f"the bundled checkpoint {name} is absent here")
    with launcher.serving("--models", ",".join(MODELS)) as site:
        yield site


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Visit]:
    """Open the page of a service, each time as somebody new; at the end no console may have complained."""
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def come(url: object, refusals_are_meant: bool = False, **options: Any) -> Visitor:
            context = stack.enter_context(browser.new_context(**{"viewport": DESK, "color_scheme": "light"} | options))
            context.set_default_timeout(TIMEOUT_MS)
            visitors.append(visitor := Visitor(context.new_page(), refusals_are_meant))
            visitor.hear()
            visitor.page.goto(str(url))
            return visitor

        yield come
        complaints = [each for visitor in visitors for each in visitor.complaints]
        for visitor in visitors:
            visitor.let_go()
    assert complaints == []


@pytest.fixture
def visitor(visit: Visit, bundled: Site) -> Visitor:
    """Somebody new on the page of the bundled model, which is ready."""
    visitor = visit(bundled.http.base_url)
    visitor.await_state("ready")
    return visitor


@pytest.fixture(scope="module")
def seven(bundled: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of a seven, as a file."""
    file = tmp_path_factory.mktemp("pictures") / "seven.png"
    file.write_bytes(bundled.http.post("/generate?class=7&seed=42").content)
    return file


@pytest.fixture(scope="module")
def damaged(seven: Path) -> Path:
    """The same with a white square in its lower left corner, and without a word of how it was made."""
    file = seven.with_name("damaged.png")
    with Image.open(seven) as image:
        image.paste(255, (3, 18, 10, 25))
        image.save(file)
    return file


@pytest.fixture(scope="module")
def blank(seven: Path) -> Path:
    """A black image."""
    file = seven.with_name("blank.png")
    Image.new("L", (28, 28)).save(file)
    return file


def shown(source: str | None) -> bytes:
    """The pixels of a picture whose bytes are in its address."""
    assert source is not None
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return image.tobytes()


def _do_without(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)
