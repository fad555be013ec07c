"""What is wrong with a value, in plain words.

Owns the words for what pydantic finds, by its names for them. Knows nothing of fields or of who is told.
"""

from pydantic_core import ErrorDetails

LONGEST_VALUE = 60
WORDS = {
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be greater than {gt}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be finite",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "must be text",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have {min_length} or more characters",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
    "missing": "is missing",
}


def plain_words(found: ErrorDetails) -> str:
    """What is wrong; in pydantic's words where there are none of ours."""
    context = {name: _limit(value) for name, value in found.get("ctx", {}).items()}
    words = WORDS.get(found["type"])
    return found["msg"] if words is None else words.format(**context)


def with_value(found: ErrorDetails) -> str:
    """`plain_words`, and the value that was given, where one was."""
    words = plain_words(found)
    return words if found["type"] == "missing" else f"{words}, got {str(found['input'])[:LONGEST_VALUE]!r}"


def _limit(value: object) -> str:
    """A bound as people write it: whole ones of decimals come as 20.0, small ones as 1e-06."""
    return f"{value:.16f}".rstrip("0").rstrip(".") if isinstance(value, int | float) else str(value)
