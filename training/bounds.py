"""The bounds of a command line's numbers.

Owns the check and its words. Knows nothing of what the options mean.
"""

import argparse
from collections.abc import Mapping


def check_bounds(parsed: argparse.Namespace, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Raise ValueError, naming option and limits, where a value that was given is not within its (lowest, highest)."""
    for name, (low, high) in bounds.items():
        value = getattr(parsed, name)
        if value is not None and not low <= value <= high:
            raise ValueError(f"--{name.replace('_', '-')} must lie in [{low}, {high}], got {value}")
