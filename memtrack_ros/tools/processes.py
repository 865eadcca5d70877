"""Nodes as processes: started in an environment of their own, and always ended."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ament_index_python.packages import get_package_share_directory

from memtrack_ros.errors import MemtrackError

_claims: list[socket.socket] = []
"""On the domains of this process, until it ends."""


class ProcessDied(MemtrackError):
    """A node's process ended by itself; the message holds its last output."""


def shared_memory_profile() -> Path:
    """The shipped Fast DDS profile whose shared memory holds whole images."""
    return shipped('config/fastdds_shm.xml')


def shipped(name: str) -> Path:
    """A file that comes with the package, by its path in the checkout."""
    shares = [Path(__file__).resolve().parents[2], Path(sys.prefix, 'share', 'memtrack_ros')]
    with suppress(OSError, LookupError):  # without a sourced ROS there is no index
        shares.append(Path(get_package_share_directory('memtrack_ros')))
    for share in shares:
        if (share / name).is_file():
            return share / name
    raise MemtrackError(
        f'{name} is in none of {", ".join(map(str, shares))}: install the package again'
    )


def isolate() -> None:
    """Puts this process and its children into a free ROS domain on this machine only.

    Large images then go through shared memory. To be called before rclpy is initialised.
    """
    profile = str(shared_memory_profile())
    os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'] = profile
    os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] = profile  # its name in newer releases
    os.environ['RMW_IMPLEMENTATION'] = 'rmw_fastrtps_cpp'
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    if os.environ.get('ROS_DISTRO') == 'humble':  # it knows only this; newer ones warn of it
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    os.environ['ROS_DOMAIN_ID'] = str(_free_domain())


def _free_domain() -> int:
    """A ROS domain whose first participant's port is free, and which no other process claimed.

    The port alone says nothing before the first participant: two processes that start together
    would find the same domain free.
    """
    domains = list(range(1, 102))  # above lie the ports that Linux gives to anybody
    random.shuffle(domains)
    for domain in domains:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                claim.bind(f'\0memtrack_ros domain {domain}')
                probe.bind(('', 7410 + 250 * domain))
            except OSError:
                claim.close()
                continue
        _claims.append(claim)
        return domain
    raise MemtrackError('every ROS domain id from 1 to 101 is in use; end some ROS processes')


class NodeProcess:
    """A module of this package run as a node in a process of its own. Use it as a context manager.

    module: such as 'nodes.tracker_node'. parameters, remappings: as after -p and -r; a remapping
    of __ns is the namespace. finite: whether it may end by itself.
    """

    def __init__(
        self,
        module: str,
        parameters: Mapping[str, str | float],
        remappings: Mapping[str, str] | None = None,
        *,
        finite: bool = False,
    ) -> None:
        self.module = module
        self._finite = finite
        command = [sys.executable, '-m', f'memtrack_ros.{module}', '--ros-args']
        for name, value in parameters.items():
            command += ['-p', f'{name}:={json.dumps(value)}']  # which is YAML, too
        for name, target in (remappings or {}).items():
            command += ['-r', f'{name}:={target}']
        self._output: deque[str] = deque(maxlen=20)
        # A session of its own: Ctrl-C reaches the parent alone, which then ends its children.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """The last lines it wrote."""
        return ''.join(self._output).rstrip()

    def check(self) -> None:
        """Raises ProcessDied when it has ended and should not have."""
        if self.code or (self.code == 0 and not self._finite):
            self._reader.join(5)
            said = self.output() or 'it wrote nothing'
            raise ProcessDied(f'{self.module} ended with code {self.code}:\n{said}')

    def interrupt(self) -> None:
        """SIGINT, as from Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Ends it: SIGINT, and after twenty seconds SIGKILL."""
        if self.code is None:
            self.interrupt()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._reader.join(5)

    def wait(self, deadline: float) -> int:
        """Waits for its end and returns the exit code; raises TimeoutError."""
        end = time.monotonic() + deadline
        while self.code is None:
            if time.monotonic() > end:
                raise TimeoutError(f'{self.module} did not end within {deadline:g} s')
            time.sleep(0.02)
        self._reader.join(5)
        return int(self.code)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._output.append(line)
