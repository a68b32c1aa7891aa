"""Options of the service."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass

from levit.errors import ConfigError
from levit.images.decoding import MAX_PIXELS
from levit.serving.security import normalize_origin

MAX_BODY = 10_000_000
"""Default limit of the body of a request, in bytes."""


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """Options of the service.

    Attributes:
        host: address that the service listens on.
        port: its port, from 0 to 65,535; 0 for a free one.
        timeout: seconds after which a request gets an error instead of its result, above 0.
        drain: seconds between SIGTERM, after which requests are refused, and the end, at least 0.
        capacity: largest number of images that wait or are being computed, at least 1.
        max_body: limit of the body of a request, in bytes, at least 1.
        max_pixels: largest number of pixels of an image, at least 1.
        threads: number of threads that decode images; None for the number of cores that this process may use.
        api_keys: keys of which a request must contain one; none for a service without keys.
        origins: origins of other pages that may use the service from a browser, SCHEME://HOST or SCHEME://HOST:PORT;
            "*" for all.

    Raises:
        ConfigError: a value is out of its range.

    Examples:
        >>> ServiceOptions(timeout=0)
        Traceback (most recent call last):
        levit.errors.ConfigError: timeout is 0: give a finite number above 0
    """

    host: str = "127.0.0.1"
    port: int = 8000
    timeout: float = 30.0
    drain: float = 5.0
    capacity: int = 256
    max_body: int = MAX_BODY
    max_pixels: int = MAX_PIXELS
    threads: int | None = None
    api_keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.timeout > 0 and math.isfinite(self.timeout)):
            raise ConfigError(f"is {self.timeout:g}", source="timeout", hint="give a finite number above 0")
        if not (self.drain >= 0 and math.isfinite(self.drain)):
            raise ConfigError(f"is {self.drain:g}", source="drain", hint="give a finite number, at least 0")
        for name in ("capacity", "max_body", "max_pixels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"is {getattr(self, name)}", source=name, hint="give at least 1")
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"is {self.port}", source="port", hint="give a number from 0 to 65535")
        object.__setattr__(self, "origins", tuple(map(normalize_origin, self.origins)))

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
