"""API keys, requests of pages of other origins, and the headers by which browsers restrict what a page may do."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from levit.errors import ConfigError
from levit.serving.errors import RequestError

KEY_VARIABLE = "LEVIT_API_KEY"
"""Environment variable with the API key."""

_MIN_KEY_LENGTH = 8

# Own scripts, styles and images only; images that a script makes (blob, data), and WebAssembly for a browser engine.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-security-policy", _CONTENT_SECURITY_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), geolocation=(), microphone=()"),
]
"""Headers of every response; with the cross-origin ones, a page may use threads of WebAssembly."""

SECURITY_LINES = b"".join(name + b": " + value + b"\r\n" for name, value in SECURITY_HEADERS)
"""The same as they are sent."""

# As browsers send it: without a path, and with a host of ASCII characters.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_OPEN_PATHS = ("/v2/health/",)
_PROTECTED_PATHS = ("/predictions/", "/explanations/", "/models", "/metrics", "/v2")


class ApiKeys:
    """Keys of which a request must contain one, as `Authorization: Bearer KEY` or `X-API-Key: KEY`.

    Args:
        keys: the keys; none accepts every request.

    Examples:
        >>> keys = ApiKeys(["correct horse"])
        >>> keys.check("/predictions/cats", [(b"x-api-key", b"correct horse")])
        >>> keys.check("/predictions/cats", [])
        Traceback (most recent call last):
        levit.serving.errors.RequestError: an API key is needed: send it as Authorization: Bearer KEY
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise an error unless a request may use a path.

        Raises:
            RequestError: the request has no key, or a wrong one, 401.
        """
        if not self._digests or not is_protected(path):
            return
        given = _given_key(headers)
        if given is None:
            raise _refusal("an API key is needed: send it as Authorization: Bearer KEY")
        digest = _digest(given)
        # Every key is compared, in constant time, so that the time gives no hint.
        if not sum(hmac.compare_digest(digest, key) for key in self._digests):
            raise _refusal("the API key is wrong")


def is_protected(path: str) -> bool:
    """Return whether a path needs an API key, where the service has any.

    Examples:
        >>> is_protected("/v2/models/cats"), is_protected("/v2/health/live")
        (True, False)
    """
    return path.startswith(_PROTECTED_PATHS) and not path.startswith(_OPEN_PATHS)


def normalize_origin(text: str) -> str:
    """An origin as browsers send it: in lower case, without a slash at the end, without the usual port.

    Raises:
        ConfigError: it is neither an origin nor "*".

    Examples:
        >>> normalize_origin("https://Example.org:443/")
        'https://example.org'
    """
    origin = text.lower().removesuffix("/")
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        hint = "give SCHEME://HOST or SCHEME://HOST:PORT, such as https://example.org, or * for all"
        raise ConfigError(f"is {text!r}", source="origins", hint=hint)
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition(":")[0], "/"))


def check_origin(headers: Iterable[tuple[bytes, bytes]], allowed: Collection[str]) -> None:
    """Raise an error if a page of another origin sends a request from a browser, and may not.

    Without it, such a page could not read the response, but still let the service compute. Browsers name the relation
    of the two origins in the header `Sec-Fetch-Site`, which a page cannot change. At an address of plain HTTP that is
    not of this machine they leave it out; there `Origin`, which every such request has, must be the address itself.

    Args:
        headers: headers of the request, with names in lower case.
        allowed: origins that may use the service; "*" for all.

    Raises:
        RequestError: the origin is not allowed, 403.

    Examples:
        >>> check_origin([(b"sec-fetch-site", b"same-origin")], ())
        >>> check_origin([(b"origin", b"http://lab:8000"), (b"host", b"lab:8000")], ())
        >>> check_origin([(b"sec-fetch-site", b"cross-site"), (b"origin", b"https://a.example")], ())
        Traceback (most recent call last):
        levit.serving.errors.RequestError: pages of https://a.example may not use this service: allow it with --cors
    """
    values = dict(headers)
    sent, site = values.get(b"origin"), values.get(b"sec-fetch-site")
    if site is None:
        is_own = sent is None or _is_address(sent, values.get(b"host", b""))
    else:
        is_own = site not in (b"cross-site", b"same-site")
    if is_own:
        return
    origin = (sent or b"null").decode("latin-1")
    if "*" not in allowed and origin not in allowed:
        raise RequestError(403, f"pages of {origin} may not use this service: allow it with --cors")


def read_api_keys(file: str | None, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Read the API keys from a file, one on each line, and from the environment variable LEVIT_API_KEY.

    Args:
        file: text file in UTF-8, also with a byte order mark; empty lines and lines that begin with # are left out.
            None reads no file.
        environment: the environment variables.

    Raises:
        ConfigError: the file cannot be read or has no key, or a key is shorter than 8 characters.
    """
    keys = [environment[KEY_VARIABLE].strip()] if environment.get(KEY_VARIABLE) else []
    _check_lengths(keys, KEY_VARIABLE)
    if file is not None:
        try:
            lines = [line.strip() for line in Path(file).read_text(encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ConfigError(f"cannot be read ({reason})", source=file) from error
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise ConfigError("has no API key", source=file, hint="write one key on each line")
        _check_lengths(found, file)
        keys += found
    return tuple(keys)


def _check_lengths(keys: Iterable[str], source: str) -> None:
    if any(len(key) < _MIN_KEY_LENGTH for key in keys):
        raise ConfigError(
            f"an API key has fewer than {_MIN_KEY_LENGTH} characters",
            source=source,
            hint='make one with python -c "import secrets; print(secrets.token_urlsafe())"',
        )


def _is_address(origin: bytes, host: bytes) -> bool:
    """Return whether an origin is that of the address to which a request was sent, by its header Host."""
    scheme, _, address = origin.decode("latin-1").lower().partition("://")
    return host.decode("latin-1").lower() in (address, address + _DEFAULT_PORTS.get(scheme, ""))


def _given_key(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"x-api-key":
            return value
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer":
                return key.strip()
    return None


def _digest(key: bytes) -> bytes:
    """Hash of a key, so that keys of any length are compared in the same time."""
    return hashlib.sha256(key).digest()


def _refusal(reason: str) -> RequestError:
    return RequestError(401, reason, headers={"WWW-Authenticate": "Bearer"})
