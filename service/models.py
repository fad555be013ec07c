"""Which models are offered, what they are, and whether anybody is there to run them.

Owns the reading of what workers announce. Knows nothing of jobs. Blocks on Redis.
"""

import time
from dataclasses import dataclass

from redis import Redis

from service.errors import NoWorker, UnknownModel
from service.redis_clients import redis_needed
from worker.contract import PRESENCE_TTL_S, Kind, ModelFacts, facts_key, workers_key

RETRY_AFTER_S = 10


@dataclass(frozen=True)
class Models:
    """The models called `names`; the first is the default."""

    connection: Redis
    names: tuple[str, ...]

    @property
    def default(self) -> str:
        """The model of a request that names none."""
        return self.names[0]

    def check_name(self, name: str) -> None:
        """Raise UnknownModel unless the model is offered."""
        if name not in self.names:
            raise UnknownModel(f"model: {name[:100]!r} is not offered; there are {', '.join(self.names)}")

    def facts(self, name: str) -> ModelFacts | None:
        """What a model's workers last said of it; None if none ever did.

        Raises:
            UnknownModel: It is not offered.
            RedisAway: Redis does not answer.
        """
        self.check_name(name)
        with redis_needed():
            content = self.connection.get(facts_key(name))
        return None if content is None else ModelFacts.model_validate_json(content)

    def live_workers(self, kind: Kind, name: str) -> int:
        """Workers that showed a sign of life lately; raises RedisAway."""
        with redis_needed():
            return int(self.connection.zcount(workers_key(kind, name), time.time() - PRESENCE_TTL_S, "+inf"))

    def ready(self, kind: Kind, name: str) -> ModelFacts:
        """The facts of a model that can be worked for now.

        Raises:
            UnknownModel, RedisAway: As `facts`.
            NoWorker: Nobody would take the job.
        """
        facts = self.facts(name)
        if facts is None or not self.live_workers(kind, name):
            raise NoWorker(f"no live {kind} worker of {name}", retry_after_s=RETRY_AFTER_S)
        return facts
