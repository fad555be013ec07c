"""The names of classes in label order, read from a file or from those that come with the package.

Owns the two formats, a line a name and CSV, and what becomes of a name that several labels share.
Knows nothing of flows.
"""

import csv
from collections import Counter
from pathlib import Path

BUNDLED = {"imagenet": Path(__file__).with_name("imagenet_names.txt")}  # ILSVRC 2012's order
COLUMNS = {"index", "name"}


def read_class_names(source: str) -> tuple[str, ...]:
    """The class names that `source` holds, in label order.

    Args:
        source: A text file with one name a line; a `.csv` file with the columns `index` and `name`, in any
            order and with any others; or the word `imagenet`, for the 1,000 names of ILSVRC 2012.

    A name that several labels share is followed by its label, `crane (134)`, so that each can be asked for.

    Raises:
        ValueError: An empty name, or indices that are not 0, 1, 2 and so on.
        OSError: The file cannot be read.
    """
    file = BUNDLED.get(source, Path(source))
    names = _csv_names(file) if file.suffix == ".csv" else file.read_text(encoding="utf-8-sig").splitlines()
    if "" in (stripped := [name.strip() for name in names]):
        raise ValueError(f"{source}: the name of class {stripped.index('')} is empty")
    times = Counter(stripped)
    return tuple(f"{name} ({label})" if times[name] > 1 else name for label, name in enumerate(stripped))


def _csv_names(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream)
        if missing := sorted(COLUMNS - set(table.fieldnames or ())):
            raise ValueError(f"{file}: the first line must name the columns index and name, without {missing}")
        rows = [(row["index"] or "", row["name"] or "") for row in table]
    found = sorted(int(index) if index.isascii() and index.isdecimal() else -1 for index, _ in rows)
    if found != list(range(len(rows))):
        raise ValueError(f"{file}: index must take each of 0..{len(rows) - 1} once")
    return [name for _, name in sorted(rows, key=lambda row: int(row[0]))]
