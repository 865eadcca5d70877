"""Who may use the page."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from memtrack_ros.errors import ConfigurationError

SHORTEST = 16
"""Characters of a token."""
COOKIE = 'memtrack_token'
_LOCAL = ('localhost', '127.0.0.1', '::1')


@dataclass(frozen=True)
class Access:
    """Without a token only this machine's browsers, with one whoever has it."""

    token: str

    @classmethod
    def at(cls, address: str, token: str) -> Access:
        """That of a server at an address.

        ConfigurationError for one that others can reach without a token, or with a short one.
        """
        if token and len(token) < SHORTEST:
            raise ConfigurationError(
                f'the token has {len(token)} characters: give one of {SHORTEST} or more that '
                'nobody guesses'
            )
        if not token and not is_loopback(address):
            raise ConfigurationError(
                f'address {address} can be reached from other machines: give a token, or serve on '
                '127.0.0.1'
            )
        return cls(token)

    def refusal(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
        """Why a request may not be answered at all; empty when it may."""
        return self.stranger(headers) or (
            '' if self.knows(headers, cookies) else 'the token is missing or wrong: log in'
        )

    def stranger(self, headers: Mapping[str, str]) -> str:
        """Why a request comes from a page of somebody else's; empty when it does not."""
        host = headers.get('Host', '')
        # Another name that leads here would make its pages ours (DNS rebinding).
        if not self.token and _hostname(host) not in _LOCAL:
            return f'the page is for this machine: open it as localhost, not as {host[:100]!r}'
        origin = headers.get('Origin')
        if origin is not None and origin.partition('://')[2] != host:
            return f'requests from pages of {origin[:100]!r} are not answered'
        return ''

    def knows(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Whether a request brings the token."""
        bearer = headers.get('Authorization', '').removeprefix('Bearer ')
        return self.matches(bearer or cookies.get(COOKIE, ''))

    def matches(self, token: str) -> bool:
        """Whether it is the token, in a time that does not tell how nearly."""
        # What was no UTF-8 comes with surrogates, of which a token has none.
        given = token.encode(errors='surrogatepass')
        return not self.token or hmac.compare_digest(given, self.token.encode())


def _hostname(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f'//{host}').hostname or ''
    except ValueError:
        return ''


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it; ConfigurationError for what is no address here."""
    return all(ipaddress.ip_address(found[4][0]).is_loopback for found in _resolved(address, 0))


def listening(address: str, port: int) -> socket.socket:
    """A socket at an address; ConfigurationError where there can be none."""
    try:
        family, *_, where = _resolved(address, port)[0]
        return socket.create_server(where[:2], family=family)
    except OSError as error:
        raise ConfigurationError(
            f'{address} port {port} cannot be served on ({error.strerror or error}): choose '
            'another port or address'
        ) from error


def _resolved(
    address: str, port: int
) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigurationError(
            f'address {address!r} is none ({error.strerror or error}): give 127.0.0.1, or one of '
            'this machine'
        ) from error
    return found  # type: ignore[return-value]
