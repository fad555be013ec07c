"""Laws of docs/operations.md."""

import pytest

from tests.deploy.manifests import OVERLAYS, WORKERS, overlay
from tests.deploy.settings_table import DOCUMENT, table, written


def test_its_table_of_settings_is_the_one_of_the_classes() -> None:
    assert written() == table(), "write it anew with: python -m tests.deploy.settings_table"


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_says_how_every_image_of_an_overlay_is_built(name: str) -> None:
    text = DOCUMENT.read_text()
    for workload in ("api", *WORKERS):
        assert f" -t {overlay(name).container(workload)['image']} " in text


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_model_that_is_offered_is_the_one_it_says(name: str) -> None:
    models = overlay(name).environment("api")["TARFLOW_MODELS"]
    assert f"Both ways offer `{models}` alone." in DOCUMENT.read_text()


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_api_that_is_not_ready_gets_no_requests_after_the_seconds_it_says(name: str) -> None:
    probe = overlay(name).container("api")["readinessProbe"]
    assert (
        f"gets no requests after about {probe['periodSeconds'] * probe.get('failureThreshold', 3)} s"
        in DOCUMENT.read_text()
    )
