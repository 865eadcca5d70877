"""What every lifecycle node here is: transitions say why they fail, and leave nothing behind."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import (
    LifecycleNode,
    LifecyclePublisher,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from memtrack_ros.errors import MemtrackError
from memtrack_ros.nodes.bond import bonded


class ManagedNode(LifecycleNode):
    """A node writes `configure` and `activate`; each gives what undoes it."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.fault = ''
        """Why the last transition failed, if it did."""
        self._configured = ExitStack()
        self._activated = ExitStack()
        self._answer_impossible_transitions()

    def configure(self) -> ExitStack:
        """Makes what the node needs; gives what undoes it. Leaves nothing where it raises."""
        raise NotImplementedError

    def activate(self) -> ExitStack:
        """Begins the node's work; gives what ends it. Leaves nothing where it raises.

        Lifecycle publishers publish from before this until after it is undone.
        """
        raise NotImplementedError

    def free(self) -> None:
        """Gives back memory that is not used any more."""
        gc.collect()

    def release(self) -> None:
        """Ends the node's work, and drops everything made for it."""
        try:
            self._activated.close()
        finally:
            self._configured.close()
            self.free()

    def close(self) -> None:
        """Ends what it does; to be called once nothing is served any more."""
        self.release()

    def lifecycle(self) -> str:
        """The label of its state, such as active."""
        return str(self._state_machine.current_state[1])

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fails back to unconfigured."""

        def configure() -> None:
            self._configured = self.configure()

        return self._transit('configure', configure, TransitionCallbackReturn.FAILURE)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fails back to inactive."""

        def activate() -> None:
            with ExitStack() as made:
                super(ManagedNode, self).on_activate(state)
                made.callback(super(ManagedNode, self).on_deactivate, state)
                made.enter_context(self.activate())
                made.enter_context(bonded(self))
                self._activated = made.pop_all()

        return self._transit('activate', activate, TransitionCallbackReturn.FAILURE)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fails through on_error to unconfigured."""
        return self._transit('deactivate', self._activated.close, TransitionCallbackReturn.ERROR)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fails through on_error to unconfigured."""
        return self._transit('cleanup', self.release, TransitionCallbackReturn.ERROR)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends in finalized, whatever happens."""
        return self._transit('shutdown', self.release, TransitionCallbackReturn.FAILURE)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends in unconfigured, or in finalized where even that fails."""
        fault = self.fault
        result = self._transit('error', self.release, TransitionCallbackReturn.FAILURE)
        self.fault = self.fault or fault
        return result

    def _transit(
        self, name: str, work: Callable[[], None], failed: TransitionCallbackReturn
    ) -> TransitionCallbackReturn:
        """Does the work of a transition; logs why it could not be done, which rclpy would not."""
        try:
            work()
            self.fault = ''
            return TransitionCallbackReturn.SUCCESS
        except MemtrackError as error:
            self.fault = f'{name} failed: {error}'
            self.get_logger().error(self.fault)
        except Exception as error:
            self.fault = f'{name} failed: {error!r}'
            self.get_logger().error(f'{name} failed: {traceback.format_exc()}')
        self.free()  # only here: the error's traceback kept alive what was made
        return failed

    def _answer_impossible_transitions(self) -> None:
        """rclpy leaves a transition that the state does not have unanswered, and stops spinning."""
        service = self._service_change_state
        change = service.callback

        def answer(
            request: ChangeState.Request, response: ChangeState.Response
        ) -> ChangeState.Response:
            try:
                return change(request, response)
            except RuntimeError as error:
                self.get_logger().error(f'transition {request.transition.id} refused: {error}')
                response.success = False
                return response

        service.callback = answer

    # Publishers

    def publisher(self, kind: type, topic: str, depth: int, made: ExitStack) -> LifecyclePublisher:
        """One that publishes while the node is active, until `made` is closed."""
        # Reliable: best-effort subscribers get it too, RViz would not get the other.
        publisher: LifecyclePublisher = self.create_lifecycle_publisher(
            kind,
            topic,
            QoSProfile(depth=depth),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        made.callback(self.destroy_lifecycle_publisher, publisher)
        return publisher
