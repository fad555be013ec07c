"""How fast images are done, as those are told who wait or look.

Owns the average that estimates are made from, and the counts of the last minutes, by Redis's clock. Knows
nothing of what is done.
"""

from redis import Redis

from worker.contract import Kind, done_key, pace_key

PACE_WEIGHT = 0.2
# A minute that is under way, and the one before it.
COUNTED_S = 120

# KEYS: average. ARGV: seconds an image took, weight of it, seconds the average is kept, images, how the names of
# the counts begin, seconds they are kept.
NOTE = """
local before = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
redis.call('SET', KEYS[1], tostring(before + ARGV[2] * (ARGV[1] - before)), 'EX', ARGV[3])
local minute = ARGV[5] .. math.floor(redis.call('TIME')[1] / 60)
redis.call('INCRBY', minute, ARGV[4])
redis.call('EXPIRE', minute, ARGV[6])
"""


def note_pace(connection: Redis, kind: Kind, model: str, images: int, batch_s: float, ttl_s: int) -> None:
    """Fold a batch of so many images, done in so many seconds, into what is told of a model's pace.

    Args:
        connection: Redis.
        kind: Of work.
        model: Its name.
        images: In the batch.
        batch_s: Seconds it took.
        ttl_s: Seconds the average is kept.
    """
    image_s = batch_s / max(1, images)
    args = (image_s, PACE_WEIGHT, ttl_s, images, done_key(kind, model), COUNTED_S)
    connection.register_script(NOTE)(keys=[pace_key(kind, model)], args=args)
