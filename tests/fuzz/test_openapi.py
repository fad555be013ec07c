"""The law that the service is what its OpenAPI says: schemathesis with all its checks, on a live service.

Twice: by a stranger, who knows no model and no job, and by somebody who does and so gets further.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Site

SCHEMATHESIS = str(Path(sys.executable).with_name("st"))
EXAMPLES = "25"
SEED = "20241206"
TIMEOUT_S = 240
FEWEST_CASES = 300
# A schema cannot say which names are classes, which bytes an image, and which key was used for what before.
UNSAYABLE = """
[[operations]]
include-name = ["POST /generate", "POST /score", "POST /encode", "POST /decode", "POST /interpolate", "POST /verify"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "304", 404, 409, 422, 429]
"""
KNOWN = """
[parameters]
"query.model" = "tiny"
"path.name" = "tiny"
"path.job_id" = "{job_id}"
"""


def run(site: Site, folder: Path, configuration: str) -> subprocess.CompletedProcess[str]:
    """Let schemathesis have its way."""
    file = folder / "schemathesis.toml"
    file.write_text(configuration)
    command = (SCHEMATHESIS, "--config-file", str(file), "run", f"{site.http.base_url}/openapi.json")
    options = ("--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED, "--request-timeout", "70", "--no-color")
    return subprocess.run((*command, *options), cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)


def job_id(site: Site) -> str:
    """A job that has succeeded."""
    return str(site.http.post("/generate", params={"seed": 1}).headers["X-Job-Id"])


@pytest.mark.parametrize("knows", [False, True], ids=["a stranger", "somebody who knows"])
def test_every_answer_is_one_that_the_schema_promises(target: Site, tmp_path: Path, knows: bool) -> None:
    known = KNOWN.replace("{job_id}", job_id(target)) if knows else ""
    done = run(target, tmp_path, known + UNSAYABLE)
    assert done.returncode == 0, done.stdout[-20_000:]
    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert found is not None, done.stdout[-2000:]
    assert int(found[1]) > FEWEST_CASES


def test_no_answer_was_a_fault_of_ours_and_none_was_logged(target: Site) -> None:
    told = [json.loads(line) for line in target.program.said().splitlines() if line.startswith("{")]
    assert told
    assert [line for line in told if line["level"] in ("ERROR", "CRITICAL") or line.get("status") == 500] == []


def test_the_service_still_makes_pictures(target: Site) -> None:
    assert target.http.post("/generate").status_code == 200
