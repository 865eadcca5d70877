"""The operator's page: who may use it, what it takes, what it does with slow and bad clients."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import pytest

from memtrack_ros.errors import ConfigurationError, PromptError

aiohttp = pytest.importorskip('aiohttp', reason='needs aiohttp: pip install "memtrack_ros[page]"')

from memtrack_ros.msg import TrackedTarget  # noqa: E402
from stage import ACTIVATE, BOX, CONFIGURE, FRAME, SIZE, Stage, staged  # noqa: E402

from memtrack_ros.nodes.frames import Frames  # noqa: E402
from memtrack_ros.page import commands, link  # noqa: E402
from memtrack_ros.page.access import Access, listening  # noqa: E402
from memtrack_ros.page.scene import Scene, outlines  # noqa: E402
from memtrack_ros.page.server import LARGEST, MOST_CONNECTIONS, MOST_VIEWERS, Server  # noqa: E402
from memtrack_ros.tools.processes import NodeProcess  # noqa: E402
from memtrack_ros.wire.bearing import CameraCalibration  # noqa: E402

DEADLINE = 60
TOKEN = 'a token nobody guesses'

# Who may


@pytest.mark.parametrize(
    ('address', 'token', 'reason'),
    [
        ('0.0.0.0', '', 'address 0.0.0.0 can be reached from other machines: give a token'),
        ('::', '', 'address :: can be reached'),
        ('127.0.0.1', 'short', 'the token has 5 characters'),
        ('0.0.0.0', 'x' * 15, 'the token has 15 characters'),
        ('no such place', '', 'address .no such place. is none'),
    ],
)
def test_an_open_address_demands_a_token(address: str, token: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Access.at(address, token)


@pytest.mark.parametrize(
    ('host', 'origin', 'token', 'let_in'),
    [
        ('localhost:8080', None, '', True),
        ('127.0.0.1:8080', 'http://127.0.0.1:8080', '', True),
        ('[::1]:8080', 'http://[::1]:8080', '', True),
        ('localhost:8080', 'http://localhost:9000', '', False),
        ('localhost:8080', 'https://evil.example', '', False),
        ('localhost:8080', 'null', '', False),
        ('evil.example:8080', 'http://evil.example:8080', '', False),  # a name that leads here
        ('localhost.evil.example', None, '', False),
        ('[', None, '', False),
        ('', None, '', False),
        ('robot:8080', 'http://robot:8080', TOKEN, True),
        ('robot:8080', 'http://evil.example', TOKEN, False),
    ],
)
def test_pages_of_others_are_strangers(
    host: str, origin: str | None, token: str, let_in: bool
) -> None:
    headers = {'Host': host} | ({} if origin is None else {'Origin': origin})
    assert (Access(token).stranger(headers) == '') is let_in


def test_the_token_is_known_by_header_or_cookie() -> None:
    access = Access.at('0.0.0.0', TOKEN)
    assert access.knows({'Authorization': f'Bearer {TOKEN}'}, {})
    assert access.knows({}, {'memtrack_token': TOKEN})
    for wrong in ('', TOKEN[:-1], TOKEN + 'x', 'ünïcödé', '\udcff', '\ud800'):
        assert not access.knows({'Authorization': f'Bearer {wrong}'}, {})
        assert not access.knows({}, {'memtrack_token': wrong})
    assert Access.at('localhost', '').knows({}, {})


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f'127.0.0.1 port {port} cannot be served'):
            listening('127.0.0.1', port)


async def nothing_asked(name: str, given: dict[str, Any]) -> dict[str, Any]:
    raise AssertionError(f'{name} was asked')


@pytest.fixture(scope='module')
def empty_page() -> Iterator[int]:
    """The port of a page that demands a token, of a camera that sends nothing."""
    socket_ = listening('127.0.0.1', 0)
    frames = Frames('/image', 1, CameraCalibration(rectified=False, warn=print))
    server = Server(socket_, Access(TOKEN), Scene(frames), nothing_asked, [])
    yield socket_.getsockname()[1]
    server.close()


def form(kind: str, body: bytes, path: str = '/login', *lines: bytes) -> tuple[bytes, ...]:
    length = b'Content-Length: %d' % len(body)
    return f'POST {path} HTTP/1.1'.encode(), *lines, b'Content-Type: ' + kind.encode(), length, body


URLENCODED, MULTIPART = 'application/x-www-form-urlencoded', 'multipart/form-data'
PART = b'--a\r\nContent-Disposition: form-data; name="token"\r\n'


@pytest.mark.parametrize(
    ('request_', 'status'),
    [
        ((b'GET / HTTP/1.1', b'Authorization: Bearer \xff\xfe', b''), 401),
        ((b'GET / HTTP/1.1', b'Cookie: memtrack_token=\xff', b''), 401),
        ((b'GET / HTTP/1.1', b'Origin: \xff', b''), 403),
        (form(URLENCODED, b'token=' + TOKEN.replace(' ', '+').encode()), 303),
        (form(URLENCODED, b'token=wrong'), 401),
        (form(URLENCODED, b'token=\xff%ff'), 401),
        (form(URLENCODED + '; charset=none', b'token=wrong'), 401),
        (form(URLENCODED + '; charset=utf-7', b'token=+2AA-'), 401),
        (form(MULTIPART, b'x'), 401),
        (form(MULTIPART + '; boundary=a', b'--a\r\nnonsense\r\n\r\nx'), 401),
        (form(MULTIPART + '; boundary=a', PART + b'Content-Type: a/b; charset=none\r\n\r\n'), 401),
        (form(URLENCODED, b'x' * (LARGEST + 1)), 413),
        (form(URLENCODED, b'no archive', '/login', b'Content-Encoding: gzip'), 400),
    ],
)
def test_whatever_somebody_without_the_token_sends_is_answered(
    empty_page: int, request_: tuple[bytes, ...], status: int
) -> None:
    *lines, body = request_
    head = [lines[0], b'Host: robot', *lines[1:]]
    with socket.create_connection(('127.0.0.1', empty_page), DEADLINE) as connection:
        connection.sendall(b'\r\n'.join(head) + b'\r\n\r\n' + body)
        assert connection.recv(100).split()[1] == str(status).encode()


# What the way to a viewer carries


def test_pictures_become_smaller_on_a_slow_way_and_larger_on_a_fast_one() -> None:
    way = link.Link()
    first = way.level
    for k in range(10):
        way.confirm(way.send(k), k + 0.5)
    assert way.level == link.LEVELS[-1]
    for k in range(200):
        way.confirm(way.send(10 + k), 10 + k + 0.02)
    assert way.level == link.LEVELS[0]
    assert link.LEVELS.index(first) == 1


def test_no_picture_waits_behind_others() -> None:
    way = link.Link()
    numbers = [way.send(0.0) for _ in range(link.IN_FLIGHT)]
    assert not way.free
    way.confirm(numbers[-1] + 1, 0.1)  # never sent
    assert not way.free
    way.confirm(numbers[0], 0.1)
    assert way.free
    assert not way.silent(link.PATIENCE - 0.1)
    assert way.silent(link.PATIENCE + 0.1)


# What it takes


def test_a_box_is_cut_to_the_image() -> None:
    request = commands.prompt({'stamp': [3, 4], 'box': [-0.2, 0.5, 0.4, 0.75]})
    assert (request.stamp.sec, request.stamp.nanosec, request.normalized) == (3, 4, True)
    box = request.box
    found = box.center_x, box.center_y, box.size_x, box.size_y
    assert found == pytest.approx((0.1, 0.75, 0.2, 0.5))


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        ({}, 'stamp is None, not 2 numbers'),
        ({'stamp': [1]}, 'not 2 numbers'),
        ({'stamp': [1, -1]}, 'is none: give seconds'),
        ({'stamp': [2**40, 0]}, 'is none: give seconds'),
        ({'stamp': [1, 2], 'box': [1.1, 0, 0.5, 0.5]}, 'lies outside the image'),
        ({'stamp': [1, 2], 'box': [0.1, 0.1, 0, 0.5]}, 'lies outside the image'),
        ({'stamp': [1, 2], 'box': [0, 0, '1', 1]}, "box is '1', not a number"),
        ({'stamp': [1, 2], 'box': [0, 0, True, 1]}, 'box is True, not a number'),
        ({'stamp': [1, 2], 'box': [0, 0, 10**400, 1]}, 'box is not finite'),
        ({'stamp': [1, 2], 'positive': [[0, 0]] * 65}, 'not a list of up to 64 points'),
        ({'stamp': [1, 2], 'positive': {'x': 1}}, 'not a list of up to 64 points'),
        ({'stamp': [1, 2], 'point': [0, 0], 'add': 1}, 'add is 1, neither true nor false'),
        ({'stamp': [1, 2], 'point': [0, 0], 'tracker': 'x' * 300}, 'not a text of up to 200'),
    ],
)
def test_prompts_that_cannot_be_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        commands.prompt(given)


def test_outlines_are_polygons_around_each_part() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 10:30] = 1
    mask[25:35, 40:50] = 1
    found = sorted(outlines(mask), key=lambda polygon: polygon[0])
    assert [sorted(zip(one[::2], one[1::2], strict=True)) for one in found] == [
        [(10, 5), (10, 14), (29, 5), (29, 14)],
        [(40, 25), (40, 34), (49, 25), (49, 34)],
    ]


# The server beside a live node


class Camera:
    """Publishes an image again and again, in a thread."""

    def __init__(self, stage: Stage, rate: float = 15.0) -> None:
        self._stage, self._period = stage, 1 / rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._period):
            self._stage.publish(FRAME)


class Page:
    """A client of the page."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f'http://127.0.0.1:{port}'

    def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            jar = aiohttp.CookieJar(unsafe=True)  # those of an address, not of a name
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                return await asyncio.wait_for(work(session), DEADLINE)

        return asyncio.run(inside())

    def post(self, name: str, given: Any = None, **options: Any) -> tuple[int, Any]:
        """Status and JSON of a command."""
        options.setdefault('json', {} if given is None else given)

        async def work(session: Any) -> tuple[int, Any]:
            async with session.post(f'{self.url}/command/{name}', **options) as response:
                return response.status, await response.json(content_type=None)

        return self.run(work)


def facts_of(data: bytes) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    length = int.from_bytes(data[:4], 'big')
    picture = cv2.imdecode(np.frombuffer(data[4 + length :], np.uint8), cv2.IMREAD_COLOR)
    return json.loads(data[4 : 4 + length]), picture


def free_port() -> int:
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return int(probe.getsockname()[1])


def served(space: str, **parameters: Any) -> NodeProcess:
    remappings = {'__ns': space}
    return NodeProcess('page.page_node', parameters, remappings)


def await_page(process: NodeProcess, port: int) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        process.check()
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end, process.output()
            time.sleep(0.05)


@pytest.fixture(scope='module')
def stage(ros: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp('memories')
    with staged('-p tracker:=stmtrack -p max_targets:=2', f'-p memory.folder:={folder}') as made:
        made.bring(CONFIGURE, ACTIVATE)
        with Camera(made):
            yield made


@pytest.fixture(scope='module')
def page(stage: Stage) -> Iterator[Page]:
    port = free_port()
    with served(stage.space, port=port) as process:
        await_page(process, port)
        found = Page(port)
        end = time.monotonic() + DEADLINE
        while found.post('reset')[0] != 200:
            assert time.monotonic() < end, process.output()
            time.sleep(0.1)
        yield found


async def pictures(page: Page, session: Any, count: int) -> list[tuple[dict[str, Any], Any]]:
    """So many pictures, each confirmed."""
    found = []
    async with session.ws_connect(f'{page.url}/stream') as stream:
        while len(found) < count:
            message = await stream.receive()
            assert message.type is aiohttp.WSMsgType.BINARY, message
            found.append(facts_of(message.data))
            await stream.send_str(str(found[-1][0]['number']))
    return found


def test_a_box_on_the_picture_that_is_seen_becomes_a_target(page: Page, stage: Stage) -> None:
    async def work(session: Any) -> tuple[Any, ...]:
        seen = await pictures(page, session, 3)
        while not seen[-1][0]['answered']:  # the answers' topic may be found after the images'
            seen += await pictures(page, session, 1)
        await asyncio.sleep(0.5)  # it is half a second old when the box is drawn
        x, y, w, h = (value / side for value, side in zip(BOX, SIZE * 2, strict=True))
        facts = seen[-1][0]
        command = {'stamp': facts['stamp'], 'box': [x, y, w, h]}
        async with session.post(f'{page.url}/command/prompt', json=command) as response:
            answer = await response.json()
        later = await pictures(page, session, 5)
        while not later[-1][0]['targets']:  # what came meanwhile is caught up with first
            later += await pictures(page, session, 5)
        return facts, seen[-1][1], answer, later

    facts, picture, answer, later = page.run(work)
    assert picture.shape == FRAME.shape
    assert np.abs(picture.astype(int) - FRAME).mean() < 6
    assert facts['answered'] and facts['targets'] == []
    assert answer['success'], answer
    assert answer['stamp'] == facts['stamp']  # exactly that image
    told = later[-1][0]
    assert told['selected'] == answer['id']
    [target] = told['targets']
    assert (target['id'], target['state']) == (answer['id'], 'TRACKING')
    assert target['box'][0] == pytest.approx(BOX[0] + BOX[2] / 2, abs=4)
    assert target['outlines']
    stamps = [facts['stamp'] for facts, _ in later if facts['answered']]
    assert stamps == sorted(stamps)
    assert page.post('remove', {'id': answer['id']})[1]['success']


def test_what_the_memory_holds_is_shown_to_viewers(page: Page, stage: Stage) -> None:
    topic = f'{stage.space}/memtrack/memory'

    async def sheet(session: Any) -> tuple[int, str, bytes]:
        async with session.get(f'{page.url}/memory.jpg') as response:
            return response.status, response.content_type, await response.read()

    async def later(session: Any) -> None:
        while (await sheet(session))[0] == 200:
            await asyncio.sleep(0.1)

    async def work(session: Any) -> tuple[Any, ...]:
        before = await sheet(session)
        async with session.ws_connect(f'{page.url}/stream'):
            while (found := await sheet(session))[0] == 204:
                await asyncio.sleep(0.05)
            return before, found, stage.count_subscribers(topic)

    assert stage.init_target(box=BOX).success
    page.run(later)  # what others looked at
    before, (status, kind, jpeg), looking = page.run(work)
    assert before == (204, 'application/octet-stream', b'')  # nobody looked
    assert (status, kind, looking) == (200, 'image/jpeg', 1)
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 312
    stage.until(lambda: not stage.count_subscribers(topic), 'the end of the subscription')
    assert page.post('reset')[1]['success']

    page.run(later)  # what was is not shown for long


def test_commands_reach_the_node(page: Page, stage: Stage) -> None:
    assert stage.init_target(box=BOX).success
    status, answer = page.post('save', {'name': 'cup'})
    assert (status, answer['success']) == (200, True), answer
    status, answer = page.post('list')
    assert answer['names'] == ['cup']
    assert page.post('load', {'name': 'cup'})[1]['success']
    assert page.post('undo')[1]['success'] is False
    status, answer = page.post('load', {'name': '../etc/passwd'})
    assert (status, answer['success']) == (200, False)
    assert page.post('select', {'id': 9_999})[1]['message'].startswith('there is no target 9999')
    assert page.post('reset')[1]['success']


def test_what_is_no_command_is_answered(page: Page) -> None:
    json_type = {'Content-Type': 'application/json'}
    for body in (b'{', b'', b'[' * 10_000, b'\xff\xfe', b'NaN', b'[]', b'"x"'):
        status, answer = page.post('prompt', json=None, data=body, headers=json_type)
        assert status == 400, body
        assert answer['message']
    assert page.post('nonsense')[0] == 404
    assert page.post('reset', json=None, data=b'{}')[0] == 415
    assert page.post('reset', headers={'Origin': 'http://evil.example'})[0] == 403
    assert page.post('reset', headers={'Host': 'evil.example'})[0] == 403
    status, _ = page.post('prompt', json=None, data=b' ' * (LARGEST + 1), headers=json_type)
    assert status == 413
    assert page.post('reset')[0] == 200


def test_too_many_viewers_and_connections_are_turned_away(page: Page, stage: Stage) -> None:
    async def viewers(session: Any) -> None:
        streams = [await session.ws_connect(f'{page.url}/stream') for _ in range(MOST_VIEWERS)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f'{page.url}/stream')
        assert refused.value.status == 503
        for stream in streams:
            await stream.close()

    page.run(viewers)
    sockets = [socket.create_connection(('127.0.0.1', page.port)) for _ in range(50)]
    closed = 0
    for one in sockets:
        one.settimeout(0.05)
        try:
            closed += one.recv(1) == b''
        except TimeoutError:
            pass
        except ConnectionError:
            closed += 1
    assert closed >= 50 - MOST_CONNECTIONS
    for one in sockets:
        one.close()
    end = time.monotonic() + DEADLINE
    while True:
        try:
            assert page.post('reset')[0] == 200
            return
        except aiohttp.ClientError:
            assert time.monotonic() < end


def test_a_viewer_that_confirms_nothing_gets_two_pictures_and_is_cut(page: Page) -> None:
    async def work(session: Any) -> tuple[int, float]:
        began, count = time.monotonic(), 0
        with suppress(aiohttp.ClientError):
            async with session.ws_connect(f'{page.url}/stream') as stream:
                while (await stream.receive()).type is aiohttp.WSMsgType.BINARY:
                    count += 1
        return count, time.monotonic() - began

    count, seconds = page.run(work)
    assert count == link.IN_FLIGHT
    assert seconds < link.PATIENCE + 5


def test_a_viewer_that_talks_is_cut(page: Page) -> None:
    async def work(session: Any) -> None:
        for said in ('hello', '9' * 1000, '-1'):
            async with session.ws_connect(f'{page.url}/stream') as stream:
                await stream.send_str(said)
                while (await stream.receive()).type is aiohttp.WSMsgType.BINARY:
                    pass

    page.run(work)


def test_the_page_brings_all_it_needs(page: Page) -> None:
    async def work(session: Any) -> tuple[str, Any]:
        async with session.get(page.url) as response:
            return await response.text(), response.headers

    text, headers = page.run(work)
    assert 'stmtrack' in text and '{{' not in text
    assert 'http://' not in text and 'https://' not in text and ' src=' not in text
    policy = headers['Content-Security-Policy']
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert 'unsafe' not in policy
    assert 'Access-Control-Allow-Origin' not in headers


def test_with_a_token_nobody_gets_anything_without_it(stage: Stage) -> None:
    port = free_port()
    with served(stage.space, port=port, address='0.0.0.0', token=TOKEN) as process:
        await_page(process, port)
        page = Page(port)
        for headers in ({}, {'Authorization': 'Bearer wrong'}, {'Cookie': 'memtrack_token=x'}):
            assert page.post('reset', headers=headers)[0] == 401

        async def work(session: Any) -> None:
            async with session.get(page.url) as response:
                assert response.status == 401 and 'Token' in await response.text()
            async with session.get(f'{page.url}/memory.jpg') as response:
                assert response.status == 401
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f'{page.url}/stream')
            assert refused.value.status == 401
            for token, status in (('wrong', 401), (TOKEN, 200)):
                async with session.post(f'{page.url}/login', data={'token': token}) as response:
                    assert response.status == status
            assert (await pictures(page, session, 1))[0][0]['size'] == list(SIZE)

        page.run(work)


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [
        ({'address': '0.0.0.0'}, 'can be reached from other machines: give a token'),
        ({'image_transport': 'theora'}, 'choose one of raw, compressed'),
    ],
)
def test_the_page_is_not_served_where_it_may_not_be(
    stage: Stage, parameters: dict[str, Any], reason: str
) -> None:
    with served(stage.space, port=free_port(), **parameters) as process:
        assert process.wait(DEADLINE) == 1
        assert reason in process.output()


def test_states_are_named_as_in_the_message() -> None:
    from memtrack_ros.page.scene import STATES

    assert STATES[TrackedTarget.TRACKING] == 'TRACKING'
    assert len(STATES) >= 5
