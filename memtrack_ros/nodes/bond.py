"""The bond that nav2's lifecycle manager wants: it takes an active node without one for dead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.lifecycle import LifecycleNode

try:
    from bondpy.bondpy import Bond
except ImportError:  # the manager has to be told not to wait for it: bond_timeout 0.0
    Bond = None


@contextmanager
def bonded(node: LifecycleNode) -> Iterator[None]:
    """Holds a bond as nav2's own nodes do, topic and name included, where bondpy is installed."""
    if Bond is None:
        yield
        return
    bond = Bond(node, 'bond', node.get_name())
    bond.start()
    try:
        yield
    finally:
        bond.shutdown()
        node.destroy_subscription(bond.sub)
        node.destroy_publisher(bond.pub)
