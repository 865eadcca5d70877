"""Memory trackers that follow one object through a camera stream, as a ROS 2 package."""

from pkgutil import extend_path

# The checkout holds the code, an installation the generated `msg` and `srv`: let both meet.
__path__ = extend_path(__path__, __name__)
