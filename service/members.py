"""Who wants a job: every request that asked for it, those under one idempotency key as one.

Owns their names, and how many of them a job knows. Knows nothing of Redis or HTTP.

The hash `members_key` of a job has a field `+name` for each who wants it, with the id of the request that asked
last under that name, and `-name` for each who said that it wants it no longer and took no name away: with the client
who said so, or nothing once one of that client's has gone. A job is wanted while there are more of the first than of
the second. A field `*` stands for those whose names are not known: such a job ends of itself alone.
"""

from dataclasses import dataclass

# Beyond them the others of a job have no names.
MOST_MEMBERS = 1000


def member_name(idempotency_key: str | None, request_id: str) -> str:
    """The name under which a request wants its job: all tries under one key are one."""
    return request_id if idempotency_key is None else f"key {idempotency_key}"


@dataclass(frozen=True)
class Leaver:
    """Who wants a job no longer.

    Attributes:
        client: Who counts as one client.
        idempotency_key: Under which it asked, or says so.
        request_id: Of the request whose connection is gone; None of a client that says so.
    """

    client: str
    idempotency_key: str | None = None
    request_id: str | None = None

    @property
    def name(self) -> str:
        """Its name as a member; of a client that says so without a key, its own."""
        return member_name(self.idempotency_key, self.request_id or self.client)
