"""`tarflow health`: one question to a probe, for those who can ask no other way.

Owns the question and what counts as healthy. Knows nothing of what the probe looks at.
"""

from dataclasses import dataclass

import httpx

from service.settings import ServiceSettings

TIMEOUT_S = 5.0
LONGEST_WORDS = 200


@dataclass(frozen=True)
class Health:
    """Whether a probe was content, and what it said in one line."""

    healthy: bool
    words: str


def own_probe(settings: ServiceSettings) -> str:
    """The URL of this machine's API, ready or not."""
    return f"{settings.own_url}/readyz"


def ask(url: str) -> Health:
    """What a probe says now; nobody listening is an answer too."""
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S, trust_env=False)
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        return Health(False, f"{url}: {error}")
    words = " ".join(answer.text.split())[:LONGEST_WORDS]
    return Health(answer.is_success, f"{url}: {answer.status_code} {words}")
