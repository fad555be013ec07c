"""Laws of requirements.lock: every package that is installed for us has its version there."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
HEAD, *LOCK = (REPOSITORY / "requirements.lock").read_text().splitlines()
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
OURS = PROJECT["name"]
# What torch brings is its build's.
UNFOLLOWED = "torch"
# pip freeze leaves it out.
UNPINNED = "setuptools"


def installed_for_us() -> set[str]:
    """What is installed here of all that we need, with the extras at the head of the lock, and that those need."""
    (extras,) = re.findall(r"\.\[([\w,]+)\]", HEAD)
    waiting, seen = [Requirement(f"{OURS}[{extras}]")], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            needs = _needs(name, extra)
            if needs is not None and (name, extra) not in seen:
                seen.add((name, extra))
                waiting += needs if name != UNFOLLOWED else []
    return {name for name, _ in seen}


def _needs(name: str, extra: str) -> list[Requirement] | None:
    """What a package needs here for an extra of it; None if it is not installed."""
    try:
        # Ours by the file, for what is installed of us may be older.
        told = requires(name) if name != OURS else PROJECT["optional-dependencies"].get(extra, PROJECT["dependencies"])
    except PackageNotFoundError:
        return None
    all_of_them = [Requirement(each) for each in told or ()]
    return [each for each in all_of_them if each.marker is None or each.marker.evaluate({"extra": extra})]


def test_every_package_that_is_installed_for_us_is_pinned() -> None:
    pinned = {canonicalize_name(Requirement(line).name) for line in LOCK}
    assert sorted(installed_for_us() - pinned - {OURS, UNPINNED}) == []


def test_its_lines_are_sorted() -> None:
    assert sorted(LOCK, key=str.lower) == LOCK
