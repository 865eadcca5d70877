"""The operator's page in a real browser: pointing, what is told, reconnecting."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip('aiohttp', reason='needs aiohttp: pip install "memtrack_ros[page]"')
playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright')

from stage import BOX, SIZE  # noqa: E402
from test_page import Camera, await_page, free_port  # noqa: E402

from memtrack_ros.tools.client import TrackerClient  # noqa: E402
from memtrack_ros.tools.processes import NodeProcess  # noqa: E402

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
PATIENCE = 90_000  # milliseconds

pytestmark = [
    pytest.mark.usefixtures('ros'),
    pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium: apt install chromium'),
]


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield found
        found.close()


def tracker(client: TrackerClient) -> NodeProcess:
    """The live node, active."""
    process = NodeProcess('nodes.tracker_node', {'tracker': 'stmtrack'})
    client.check = process.check
    assert client.start(), process.output()
    return process


def state(page: Any, *states: str) -> None:
    """Waits for one of these states."""
    wanted = ', '.join(f'#state[data-state={one}]' for one in states)
    page.wait_for_selector(wanted, timeout=PATIENCE)


def drag(page: Any, box: tuple[int, int, int, int], pause: float = 0.0) -> None:
    """Draws a box, given in pixels of the image."""
    area = page.locator('#view').bounding_box()
    scale = area['width'] / SIZE[0]
    x, y, w, h = (scale * value for value in box)
    x, y = x + area['x'], y + area['y']
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + w / 2, y + h / 2)
    time.sleep(pause)
    page.mouse.move(x + w, y + h)
    page.mouse.up()


def test_a_person_points_and_sees_what_becomes_of_it(browser: Any) -> None:
    port = free_port()
    with ExitStack() as stack:
        client = stack.enter_context(TrackerClient())
        node = tracker(client)
        stack.callback(lambda: node.stop())
        served = stack.enter_context(NodeProcess('page.page_node', {'port': port}))
        await_page(served, port)
        stack.enter_context(Camera(client))  # type: ignore[arg-type]
        page = browser.new_page()
        errors: list[str] = []
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.on('console', lambda said: errors.append(said.text) if said.type == 'error' else None)
        page.set_default_timeout(PATIENCE)
        page.goto(f'http://127.0.0.1:{port}/')
        state(page, 'IDLE')

        # The picture stands still from the first touch: the prompt is for what was seen then.
        drag(page, BOX, pause=0.5)
        page.wait_for_selector('body[data-prompted]', state='attached')
        prompted = page.get_attribute('body', 'data-prompted')
        seconds, nanoseconds = map(int, prompted.split(','))
        age = client.get_clock().now().nanoseconds - (seconds * 10**9 + nanoseconds)
        assert age > 0.5e9
        state(page, 'TRACKING')
        target_id = int(page.inner_text('#targets li span').split()[0])
        assert target_id > 0
        assert float(page.inner_text('#confidence')) > 0.5
        assert page.inner_text('#age').endswith(' ms')
        assert float(page.inner_text('#rate')) > 0
        assert 'stmtrack' in page.inner_text('#tracker')

        page.wait_for_selector('#held:not([hidden])')
        page.wait_for_function("document.getElementById('held').naturalWidth === 312")

        other = browser.new_page()  # two at once
        other.set_default_timeout(PATIENCE)
        other.goto(f'http://127.0.0.1:{port}/')
        state(other, 'TRACKING')

        page.click('#reset')
        state(page, 'IDLE')
        state(other, 'IDLE')

        page.reload()
        state(page, 'IDLE')
        x, y, w, h = BOX
        area = page.locator('#view').bounding_box()
        scale = area['width'] / SIZE[0]
        middle = area['x'] + scale * (x + w / 2), area['y'] + scale * (y + h / 2)
        page.click('#on')
        page.mouse.click(*middle)
        page.click('#send')
        state(page, 'TRACKING')

        node.stop()
        page.wait_for_selector('#state[data-state=offline]')
        node = tracker(client)
        state(page, 'IDLE')  # by itself
        page.click('#box')
        drag(page, BOX)
        state(page, 'TRACKING')

        served.stop()
        page.wait_for_selector('#state[data-state=offline]')
        # That a server does not answer is told there, too.
        away = 'Failed to load resource', 'WebSocket'
        assert [said for said in errors if not said.startswith(away)] == []
        again = stack.enter_context(NodeProcess('page.page_node', {'port': port}))
        await_page(again, port)
        state(page, 'TRACKING', 'IDLE')
