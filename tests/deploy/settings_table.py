"""The table of settings in docs/operations.md, from the settings' own classes; run it to write the table anew."""

from pydantic.fields import FieldInfo

from service.settings import ServiceSettings
from tests.deploy.tools import REPOSITORY
from worker.settings import WorkerSettings

DOCUMENT = REPOSITORY / "docs" / "operations.md"
HEAD = "| variable | read by | meaning | default |\n| --- | --- | --- | --- |\n"
READERS: dict[str, dict[str, FieldInfo]] = {
    "api": ServiceSettings.model_fields,
    "worker": WorkerSettings.model_fields,
}


def table() -> str:
    """A row for every setting, in the order of their classes."""
    names = dict.fromkeys(name for fields in READERS.values() for name in fields)
    return HEAD + "".join(_row(name) for name in names)


def written() -> str:
    """The table as the document has it."""
    _, head, rows = DOCUMENT.read_text().partition(HEAD)
    return head + rows


def _row(name: str) -> str:
    readers = {reader: fields[name] for reader, fields in READERS.items() if name in fields}
    meanings = " / ".join(dict.fromkeys(str(field.description) for field in readers.values()))
    defaults = ", ".join(
        dict.fromkeys(f"`{field.default}`" if field.default != "" else "none" for field in readers.values())
    )
    return f"| `TARFLOW_{name.upper()}` | {', '.join(readers)} | {meanings} | {defaults} |\n"


if __name__ == "__main__":
    text, _, _ = DOCUMENT.read_text().partition(HEAD)
    DOCUMENT.write_text(text + table())
