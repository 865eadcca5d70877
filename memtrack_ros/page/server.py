"""The page's server: one HTML file, a stream of pictures to each viewer, commands from them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

from memtrack_ros.errors import MemtrackError
from memtrack_ros.page.access import COOKIE, Access
from memtrack_ros.page.commands import COMMANDS
from memtrack_ros.page.link import Link
from memtrack_ros.page.scene import Scene, Shown

try:
    from aiohttp import WSMsgType, web
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "memtrack_ros[page]"')

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

MOST_VIEWERS = 8
MOST_CONNECTIONS = 40
LARGEST = 16 * 1024
"""Bytes of what a viewer may send at once."""
_PERIOD = 1 / 30  # seconds between pictures, at least
_IDLE = 10.0  # seconds a connection may be silent
_LOOK = 0.5  # seconds after which a viewer that confirms nothing is looked after

PAGE = Path(__file__).with_name('index.html')
LOGIN = """<!doctype html><meta name="viewport" content="width=device-width"><title>memtrack</title>
<form method="post" action="/login"><label>Token <input type="password" name="token" autofocus>
</label> <button>Log in</button></form>"""


class Server:
    """Serves in a thread of its own from when it is made until `close`."""

    def __init__(
        self, listening: socket.socket, access: Access, scene: Scene, ask: Ask, trackers: list[str]
    ) -> None:
        """ask: does a command, in the server's loop. trackers: names to choose from."""
        self._access, self._scene, self._ask = access, scene, ask
        page = PAGE.read_text().replace('"{{trackers}}"', json.dumps(trackers))
        self._page, self._policy = page, _policy(page)
        self.viewers = 0
        """Browsers that are shown pictures."""
        self._encoding = asyncio.Lock()
        self._silent: set[asyncio.BaseProtocol] = set()
        self._shown: Shown | None = None
        self._news: asyncio.Event
        self._ending: asyncio.Event
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=[listening, ready], name='page', daemon=True
        )
        self._thread.start()
        ready.wait()

    def close(self) -> None:
        """Ends every connection."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def _run(self, listening: socket.socket, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(listening, ready))
        finally:
            ready.set()
            self._loop.close()

    async def _serve(self, listening: socket.socket, ready: threading.Event) -> None:
        self._news, self._ending = asyncio.Event(), asyncio.Event()
        self._scene.changed = self._notify
        application = web.Application(client_max_size=LARGEST, middlewares=[self._guard])
        application.add_routes(
            [
                web.get('/', self._index),
                web.post('/login', self._login),
                web.get('/stream', self._stream),
                web.get('/memory.jpg', self._memory),
                web.post('/command/{name}', self._command),
            ]
        )
        runner = web.AppRunner(
            application, access_log=None, keepalive_timeout=_IDLE, shutdown_timeout=1.0
        )
        await runner.setup()
        assert runner.server is not None
        accept = runner.server

        def cut_if_too_many(connection: Any) -> None:
            if connection in accept.connections[MOST_CONNECTIONS:]:
                connection.transport.abort()

        def protocol() -> asyncio.Protocol:
            connection = accept()
            self._loop.call_later(0, cut_if_too_many, connection)  # once it is connected
            self._silent.add(connection)
            self._loop.call_later(_IDLE, self._cut_if_silent, connection)
            return connection

        server = await self._loop.create_server(protocol, sock=listening)
        ready.set()
        try:
            await self._ending.wait()
        finally:
            self._scene.changed = lambda: None
            server.close()
            await runner.cleanup()

    def _cut_if_silent(self, connection: Any) -> None:
        """Ends a connection on which no whole request has come."""
        if connection in self._silent:
            self._silent.remove(connection)
            if connection.transport is not None:
                connection.transport.abort()

    def _notify(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._news.set)

    # Requests

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Strangers get nothing, those without the token only the way to log in."""
        self._silent.discard(request.protocol)
        if reason := self._access.stranger(request.headers):
            return _no(403, reason)
        known = self._access.knows(request.headers, request.cookies)
        if not known and request.path != '/login':
            if request.path == '/':
                return self._html(LOGIN, 401)
            return _no(401, 'the token is missing or wrong: log in')
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _no(error.status, error.reason)
        except asyncio.TimeoutError:
            return _no(408, f'the request took longer than {_IDLE:g} s to come')

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return self._html(self._page, 200)

    def _html(self, text: str, status: int) -> web.Response:
        headers = {
            'Content-Security-Policy': self._policy,
            'Referrer-Policy': 'same-origin',
            'Cache-Control': 'no-store',
        }
        return web.Response(text=text, status=status, content_type='text/html', headers=headers)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        form = parse_qs((await self._body(request)).decode(errors='replace'))
        token = form.get('token', [''])[0]
        if not self._access.matches(token):
            return self._html(LOGIN, 401)
        response = web.Response(status=303, headers={'Location': '/'})
        response.set_cookie(COOKIE, token, httponly=True, samesite='Strict')
        return response

    async def _command(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info['name']
        if name not in COMMANDS:
            return _no(404, f'command {name!r:.50} is unknown: there are {", ".join(COMMANDS)}')
        if request.content_type != 'application/json':
            return _no(415, 'a command is application/json')
        try:
            given = json.loads(await self._body(request))
        except (ValueError, RecursionError):
            return _no(400, 'the command is no JSON')
        if not isinstance(given, dict):
            return _no(400, 'the command is no JSON object')
        try:
            answer = await self._ask(name, given)
        except MemtrackError as error:
            return _no(400, str(error))
        except TimeoutError as error:
            return _no(504, str(error))
        return web.json_response(answer)

    async def _body(self, request: web.Request) -> bytes:
        """All that a request brings; HTTPBadRequest where that cannot be unpacked."""
        try:
            return await asyncio.wait_for(request.read(), _IDLE)
        except web.RequestPayloadError as error:
            raise web.HTTPBadRequest(reason='the request cannot be unpacked') from error

    # Pictures

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self.viewers >= MOST_VIEWERS:
            return _no(503, f'{MOST_VIEWERS} viewers are watching, as many as may: close one')
        self.viewers += 1
        try:
            viewer = web.WebSocketResponse(
                max_msg_size=256, heartbeat=_IDLE, compress=False, timeout=2.0
            )
            await viewer.prepare(request)
            link, confirmed = Link(), asyncio.Event()
            assert request.transport is not None
            sending = asyncio.ensure_future(self._send(viewer, request.transport, link, confirmed))
            sending.add_done_callback(partial(_end_with, request.transport))
            try:
                await self._listen(viewer, link, confirmed)
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await sending
            return viewer
        finally:
            self.viewers -= 1

    async def _memory(self, request: web.Request) -> web.StreamResponse:
        jpeg, fresh = self._scene.memory(), {'Cache-Control': 'no-store'}
        if not jpeg:
            return web.Response(status=204, headers=fresh)
        return web.Response(body=jpeg, content_type='image/jpeg', headers=fresh)

    async def _listen(
        self, viewer: web.WebSocketResponse, link: Link, confirmed: asyncio.Event
    ) -> None:
        """A viewer says the numbers of the pictures that it has shown, nothing else."""
        async for message in viewer:
            if message.type is not WSMsgType.TEXT or not re.fullmatch('[0-9]{1,15}', message.data):
                await viewer.close()
                return
            link.confirm(int(message.data), monotonic())
            confirmed.set()

    async def _send(
        self,
        viewer: web.WebSocketResponse,
        transport: asyncio.Transport,
        link: Link,
        confirmed: asyncio.Event,
    ) -> None:
        last = 0
        while not self._ending.is_set():
            began = monotonic()
            if link.silent(began):
                transport.abort()
                return
            if not link.free:
                confirmed.clear()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(confirmed.wait(), _LOOK)
                continue
            shown = await self._next(last)
            if shown is None:
                continue
            last = shown.stamp
            level = link.level
            number = link.send(monotonic())
            data = await self._loop.run_in_executor(None, shown.encoded, level, number)
            await viewer.send_bytes(data)
            await asyncio.sleep(max(began + _PERIOD - monotonic(), 0))
        await viewer.close()

    async def _next(self, last: int) -> Shown | None:
        """The newest picture, once there is another than the last; None to look again."""
        if self._scene.stamp() in (last, 0):
            await self._wait()
        async with self._encoding:
            stamp = self._scene.stamp()
            if stamp in (last, 0):
                return None
            if self._shown is None or self._shown.stamp != stamp:
                self._shown = await self._loop.run_in_executor(None, self._scene.shown)
            shown = self._shown
        if shown is None:
            await self._wait()
        return None if shown is None or shown.stamp == last else shown

    async def _wait(self) -> None:
        """Until something new has come, or for a while."""
        self._news.clear()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), _LOOK)


def _end_with(transport: asyncio.Transport, sending: asyncio.Future[None]) -> None:
    """A viewer to which nothing can be sent any more is not kept waiting."""
    if not sending.cancelled() and sending.exception() is not None:
        transport.abort()


def _no(status: int, reason: str | None) -> web.Response:
    return web.json_response({'success': False, 'message': reason}, status=status)


def _policy(page: str) -> str:
    """Nothing but what is in the page itself may run in it, and nobody may frame it."""

    def digests(tag: str) -> str:
        found = re.findall(f'<{tag}>(.*?)</{tag}>', page, re.DOTALL)
        hashes = (base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in found)
        return ' '.join(f"'sha256-{one}'" for one in hashes)

    return (
        f"default-src 'none'; script-src {digests('script')}; style-src {digests('style')}; "
        "connect-src 'self'; img-src blob:; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    )
