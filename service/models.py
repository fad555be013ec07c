"""Which models are offered, what they are, and whether anybody is there to run them.

Owns the reading of what workers announce. Knows nothing of jobs.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from redis import asyncio as aioredis
from redis.commands.core import AsyncScript

from service.errors import NoWorker, UnknownModel
from service.redis_clients import redis_needed
from worker.contract import (
    PRESENCE_TTL_S,
    CalibrationsTold,
    Kind,
    ModelFacts,
    calibrations_key,
    facts_key,
    workers_key,
)

RETRY_AFTER_S = 10

# By the clock of Redis, as workers announce themselves. KEYS: a model's facts, its calibrations, its workers. ARGV:
# seconds that a sign of life lasts.
LIVE = """
local silent_s = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
local workers = redis.call('ZCOUNT', KEYS[3], silent_s, '+inf')
return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]), workers}
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
            async with self.connection.pipeline(transaction=False) as pipeline:
                pipeline.get(facts_key(name))
                pipeline.get(calibrations_key(name))
                content, told = await pipeline.execute()
        return None if content is None else _parsed(content, told)

    async def live_workers(self, kind: Kind, name: str) -> int:
        """Workers that showed a sign of life lately; raises RedisAway."""
        _, _, workers = await self._live(kind, name)
        return workers

    async def ready(self, kind: Kind, name: str) -> ModelFacts:
        """The facts of a model that can be worked for now.

        Raises:
            UnknownModel, RedisAway: As `facts`.
            NoWorker: Nobody would take the job.
        """
        self.check_name(name)
        content, told, workers = await self._live(kind, name)
        if content is None or not workers:
            raise NoWorker(f"no live {kind} worker of {name}", retry_after_s=RETRY_AFTER_S)
        return _parsed(content, told)

    @cached_property
    def _live_script(self) -> AsyncScript:
        return self.connection.register_script(LIVE)

    async def _live(self, kind: Kind, name: str) -> tuple[bytes | None, bytes | None, int]:
        """What is said of a model and of its calibrations, and how many workers of a kind there are."""
        keys = [facts_key(name), calibrations_key(name), workers_key(kind, name)]
        with redis_needed():
            content, told, workers = await self._live_script(keys=keys, args=[PRESENCE_TTL_S])
        return content, told, workers


@lru_cache(maxsize=64)
def _parsed(content: bytes, told: bytes | None) -> ModelFacts:
    calibrations = None if told is None else CalibrationsTold.model_validate_json(told)
    return ModelFacts.model_validate_json(content).with_calibrations(calibrations)
