"""Laws of docs/operations.md."""

from tests.deploy.settings_table import table, written


def test_its_table_of_settings_is_the_one_of_the_classes() -> None:
    assert written() == table(), "write it anew with: python -m tests.deploy.settings_table"
