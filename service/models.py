"""Which models are offered, what they are, and whether anybody is there to run them.

Owns the reading of what workers announce. Knows nothing of jobs.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from redis import asyncio as aioredis
from redis.commands.core import AsyncScript

from service.errors import NoWorker, UnknownModel
from service.redis_clients import redis_needed
from worker.contract import PRESENCE_TTL_S, Kind, ModelFacts, facts_key, workers_key

RETRY_AFTER_S = 10

# By the clock of Redis, as workers announce themselves. KEYS: a model's facts, its workers. ARGV: seconds that a
# sign of life lasts.
LIVE = """
local silent_s = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
return {redis.call('GET', KEYS[1]), redis.call('ZCOUNT', KEYS[2], silent_s, '+inf')}
"""


@dataclass(frozen=True)
class Models:
    """The models called `names`; the first is the default."""

    connection: aioredis.Redis
    names: tuple[str, ...]

    @property
    def default(self) -> str:
        """The model of a request that names none."""
        return self.names[0]

    def check_name(self, name: str) -> None:
        """Raise UnknownModel unless the model is offered."""
        if name not in self.names:
            raise UnknownModel(f"model: {name[:100]!r} is not offered; there are {', '.join(self.names)}")

    async def facts(self, name: str) -> ModelFacts | None:
        """What a model's workers last said of it; None if none ever did.

        Raises:
            UnknownModel: It is not offered.
            RedisAway: Redis does not answer.
        """
        self.check_name(name)
        with redis_needed():
            content = await self.connection.get(facts_key(name))
        return None if content is None else _parsed(content)

    async def live_workers(self, kind: Kind, name: str) -> int:
        """Workers that showed a sign of life lately; raises RedisAway."""
        _, workers = await self._live(kind, name)
        return workers

    async def ready(self, kind: Kind, name: str) -> ModelFacts:
        """The facts of a model that can be worked for now.

        Raises:
            UnknownModel, RedisAway: As `facts`.
            NoWorker: Nobody would take the job.
        """
        self.check_name(name)
        content, workers = await self._live(kind, name)
        if content is None or not workers:
            raise NoWorker(f"no live {kind} worker of {name}", retry_after_s=RETRY_AFTER_S)
        return _parsed(content)

    @cached_property
    def _live_script(self) -> AsyncScript:
        return self.connection.register_script(LIVE)

    async def _live(self, kind: Kind, name: str) -> tuple[bytes | None, int]:
        """What is said of a model, and how many workers of a kind say it."""
        with redis_needed():
            content, workers = await self._live_script(
                keys=[facts_key(name), workers_key(kind, name)], args=[PRESENCE_TTL_S]
            )
        return content, workers


@lru_cache(maxsize=64)
def _parsed(content: bytes) -> ModelFacts:
    return ModelFacts.model_validate_json(content)
