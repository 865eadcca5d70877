"""A node as a process: it serves until a signal comes, or until it has nothing more to do."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

from memtrack_ros import interrupt
from memtrack_ros.errors import ConfigurationError, MemtrackError

_PATIENCE = 0.2

# As rcl has it: Couldn't parse remap rule: '-r a:=/1'. Error: what its parser met, at file:line
_REFUSED = re.compile(r"parse ([\w ]+): '(?:-\S+ )?(.*?)'\. Error: (.*?)(?:, at /|$)", re.DOTALL)

_REMEDIES = {
    'remap rule': 'names are letters, digits and _ between slashes, none begins with a digit',
    'parameter override rule': 'write -p name:=value',
    'params file': 'give one like config/tracker.yaml',
    'log level': 'choose debug, info, warn, error or fatal',
}


def run(name: str, make: Callable[[Callable[[], None]], Any], args: list[str] | None) -> int:
    """Runs a node until SIGINT or SIGTERM; returns the exit code.

    make: gives the node, whose close() ends what it does in threads of its own and raises what
    went wrong there. It is given what the node may call when it has nothing more to do.
    What a user can mend, wrong arguments among it, is logged in one sentence under `name`.
    """
    ended = threading.Event()
    interrupt.end_by(ended.set)
    try:
        _serve(lambda: make(ended.set), ended, args)
    except (MemtrackError, ParameterException) as error:
        get_logger(name).fatal(str(error))
        return 1
    finally:
        interrupt.ignore()
        rclpy.try_shutdown()
    return 0


def _serve(make: Callable[[], Any], ended: threading.Event, args: list[str] | None) -> None:
    _initialize(args)
    node = make()
    # Not the multi-threaded one: with event handlers on a subscription it spins at full load until
    # an image is taken (rclpy 7), and it falls over what a transition destroys meanwhile.
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    faults: list[BaseException] = []

    def spin() -> None:
        try:
            while not ended.is_set():
                executor.spin_once(_PATIENCE)
        except BaseException as fault:
            faults.append(fault)
        finally:
            ended.set()

    # In a thread of its own: Python hears signals between two steps of the main one only.
    thread = threading.Thread(target=spin, name='executor')
    thread.start()
    ended.wait()
    executor.wake()
    thread.join()
    try:
        node.close()
    finally:
        executor.shutdown()
        node.destroy_node()
    for fault in faults:
        raise fault


def _initialize(args: list[str] | None) -> None:
    """rclpy.init, without its signal handlers; ConfigurationError for arguments it refuses."""
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        refused = _REFUSED.search(str(error))
        if refused is None:
            raise ConfigurationError(f'the arguments are refused: {error}') from error
        what, argument, reason = refused.groups()
        if what == 'params file':
            raise ConfigurationError(
                f'the parameter file {argument} is refused ({reason.strip()}): {_REMEDIES[what]}'
            ) from error
        remedy = _REMEDIES.get(what, 'see what --ros-args takes')
        raise ConfigurationError(f'the {what} {argument!r} is refused: {remedy}') from error
