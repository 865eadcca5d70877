"""From what is known of a target to the velocity that keeps it in view, without ROS."""

from memtrack_ros.control.servo import Measurement, Servo, Velocity
from memtrack_ros.control.settings import AXES, Axis, ServoSettings

__all__ = ['AXES', 'Axis', 'Measurement', 'Servo', 'ServoSettings', 'Velocity']
