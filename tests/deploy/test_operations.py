"""Laws of docs/operations.md."""

import re
import shutil
from pathlib import Path

import pytest

from tests.deploy.manifests import OVERLAYS, WORKERS, built, overlay
from tests.deploy.settings_table import DOCUMENT, table, written
from tests.deploy.tools import REPOSITORY


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


def test_the_settings_that_compose_takes_from_its_own_file_are_those_it_says() -> None:
    composed = "".join(file.read_text() for file in REPOSITORY.glob("docker-compose*.yml"))
    taken = [f"`{name}`" for name in sorted(set(re.findall(r"\$\{(TARFLOW_\w+)", composed)))]
    assert f"`.env` reaches compose only for {' and '.join(taken)}." in DOCUMENT.read_text()


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_setting_is_merged_as_it_says_in_an_overlay_of_ones_own(name: str, tmp_path: Path) -> None:
    (example,) = re.findall(r"^configMapGenerator:\n.+?\n(?=```)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    shutil.copytree(REPOSITORY / "k8s", tmp_path / "k8s")
    mine = tmp_path / "k8s/overlays/mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(f"resources: [../{name}]\n{example}")
    assert built(mine).environment("api") == {**overlay(name).environment("api"), "TARFLOW_MAX_QUEUED": "512"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_api_that_is_not_ready_gets_no_requests_after_the_seconds_it_says(name: str) -> None:
    probe = overlay(name).container("api")["readinessProbe"]
    assert (
        f"gets no requests after about {probe['periodSeconds'] * probe.get('failureThreshold', 3)} s"
        in DOCUMENT.read_text()
    )
