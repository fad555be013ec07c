"""How fast work is done, as those are told who wait or look.

Owns the average that estimates are made from, and the counts of the last minutes, by Redis's clock. Knows
nothing of what is done.
"""

from dataclasses import dataclass

from redis import Redis
from redis.client import Pipeline

from worker.contract import Kind, done_key, pace_key

PACE_WEIGHT = 0.2
PACE_TTL_S = 3600
# A minute that is under way, and the one before it.
COUNTED_S = 120

# KEYS: average. ARGV: seconds an image or a pass took, weight of it, seconds the average is kept, images, how the names
# of the counts begin, seconds they are kept.
NOTE = """
local before = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
redis.call('SET', KEYS[1], tostring(before + ARGV[2] * (ARGV[1] - before)), 'EX', ARGV[3])
local minute = ARGV[5] .. math.floor(redis.call('TIME')[1] / 60)
redis.call('INCRBY', minute, ARGV[4])
redis.call('EXPIRE', minute, ARGV[6])
"""


@dataclass(frozen=True)
class Done:
    """A batch that is done.

    Attributes:
        images: That it made, whole.
        cost: What was made of it, in images, or in forward passes where it scored; above 0, and parts count.
        batch_s: Seconds it took.
    """

    images: int
    cost: float
    batch_s: float


def note_pace(connection: Redis | Pipeline, kind: Kind, model: str, done: Done) -> None:
    """Fold a batch into what is told of a model's pace; on a pipeline, in its transaction."""
    each_s = done.batch_s / done.cost
    arguments = (each_s, PACE_WEIGHT, PACE_TTL_S, done.images, done_key(kind, model), COUNTED_S)
    connection.eval(NOTE, 1, pace_key(kind, model), *map(str, arguments))
