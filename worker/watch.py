"""A transaction that counts only if what it was decided on stays as it was.

Owns the watching of keys together with the looking at them, in one round trip; redis-py's own takes one for each. Knows
nothing of what is decided.
"""

from typing import Any, Self

from redis import Redis
from redis.client import Pipeline


class Watch(Pipeline):
    """A pipeline in two parts: questions until `look`, the transaction after it."""

    @classmethod
    def on(cls, connection: Redis) -> Self:
        """One on the connection's pool."""
        return cls(connection.connection_pool, connection.response_callbacks, transaction=True, shard_hint=None)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def look(self, *keys: str) -> list[Any]:
        """The answers to the questions so far; what follows fails with WatchError where one of the keys has changed."""
        questions = [(("WATCH", *keys), {}), *self.command_stack]
        self.connection = self.connection or self.connection_pool.get_connection()
        answers = self._execute_pipeline(self.connection, questions, raise_on_error=True)
        self.command_stack = []
        self.multi()
        return list(answers[1:])
