"""Whether strangers could reach a service that lets everybody in.

Owns the refusal to start so. Knows nothing of requests.
"""

import ipaddress
import socket

from service.settings import ServiceSettings


class OpenToStrangers(RuntimeError):
    """An address that other machines reach, and no keys."""


def check_exposure(settings: ServiceSettings) -> None:
    """Raise OpenToStrangers unless the address is this machine's alone, there are keys, or it is meant so."""
    if settings.api_keys or settings.allow_anonymous or is_loopback(settings.host):
        return
    raise OpenToStrangers(
        f"other machines can reach {settings.host!r}, and there are no API keys: set TARFLOW_API_KEYS "
        "(`tarflow key NAME` makes an entry), or TARFLOW_ALLOW_ANONYMOUS=true to let anybody in"
    )


def is_loopback(host: str) -> bool:
    """Whether every address of a host is this machine's alone; an empty one means all addresses."""
    if not host:
        return False
    try:
        found = {str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address).is_loopback for address in found)
