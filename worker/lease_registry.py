"""The registry of running jobs, scored by when each lease runs out.

Owns the clock that leases are measured by: Redis's own, for a worker's may jump, and no two need agree.
Knows nothing of who renews a lease or who ends it.
"""

from redis.client import Pipeline
from rq.executions import Execution
from rq.registry import StartedJobRegistry

# KEYS: the registry. ARGV: execution, seconds, XX where only a lease that is still there is renewed.
LEASE = """
local until_s = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2])
if ARGV[3] == 'XX' then return redis.call('ZADD', KEYS[1], 'XX', until_s, ARGV[1]) end
return redis.call('ZADD', KEYS[1], until_s, ARGV[1])
"""


class LeaseRegistry(StartedJobRegistry):
    """RQ's, but for the clock."""

    def add_execution(self, execution: Execution, pipeline: Pipeline, ttl: int = 0, xx: bool = False) -> int:
        """Begin a lease of `ttl` seconds, or with `xx` renew one, in the pipeline's transaction."""
        arguments = (execution.composite_key, ttl, "XX" if xx else "")
        queued: int = pipeline.eval(LEASE, 1, self.key, *arguments)
        return queued
