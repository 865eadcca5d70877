"""Starts the tracker node on a camera topic, or on a video file, and activates it.

ros2 launch memtrack_ros tracker.launch.py image:=/camera/image_raw
ros2 launch memtrack_ros tracker.launch.py video:=/path/to/video.mp4 rviz:=true
ros2 launch memtrack_ros tracker.launch.py follow:=true cmd_vel:=/cmd_vel
ros2 launch memtrack_ros tracker.launch.py page:=true
"""

import os
from math import isfinite
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events import matches_action
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition
from rclpy.exceptions import NameValidationException
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_topic_name import validate_topic_name

PACKAGE = 'memtrack_ros'
SHARE = Path(get_package_share_directory(PACKAGE))

ARGUMENTS = {
    'image': ('camera/image_raw', 'image topic to follow in'),
    'image_transport': ('', 'raw or compressed (image/compressed); empty: as the params_file says'),
    'tracker': ('', 'empty: as the params_file says'),
    'variant': ('', 'compact or paper; empty: as the params_file says'),
    'weights': ('', 'weight file; empty: as the params_file says'),
    'settings': ('', 'of the paper variant, by name; empty: as the params_file says'),
    'device': ('', 'auto, cpu, cuda, cuda:N; empty: as the params_file says'),
    'params_file': (str(SHARE / 'config' / 'tracker.yaml'), 'parameters of the tracker node'),
    'namespace': ('', 'namespace of all nodes'),
    'autostart': ('true', 'configure and activate the node; false leaves this to a manager'),
    'follow': (
        'false',
        'start the follow node, too: it commands velocities that keep the target in view',
    ),
    'follow_params_file': (str(SHARE / 'config' / 'follow.yaml'), 'parameters of the follow node'),
    'cmd_vel': ('', 'topic of its commands (geometry_msgs/TwistStamped); empty: follow/cmd_vel'),
    'page': ('false', "start the operator's page, too, at http://127.0.0.1:8080/"),
    'page_params_file': (str(SHARE / 'config' / 'page.yaml'), 'parameters of the page'),
    'rviz': ('false', 'show image, overlay, memory and mask in RViz'),
    'video': ('', 'video file, webcam (0, /dev/video0) or "scene" to publish on `image`'),
    'loop': ('true', 'play the video again and again'),
    'rate': ('0', 'images per second of the video; 0: as it says itself'),
}


class WrongArgument(Exception):
    """An argument that cannot be; launch ends with its sentence."""


def check(context: LaunchContext) -> list:
    """Refuses, before anything is started, what would fail later or be passed over in silence."""
    image, namespace = text(context, 'image'), text(context, 'namespace')
    cmd_vel = text(context, 'cmd_vel')
    try:
        validate_topic_name(image)
        if cmd_vel:
            validate_topic_name(cmd_vel)
        validate_namespace(f'/{namespace.removeprefix("/")}')
    except NameValidationException as error:
        reason = str(error).splitlines()[0].rstrip(':')
        given = f'image:={image} cmd_vel:={cmd_vel} namespace:={namespace}'
        raise WrongArgument(f'{given}: {reason}') from error
    for name in ('params_file', 'follow_params_file', 'page_params_file'):
        if not Path(text(context, name)).is_file():
            raise WrongArgument(
                f'{name}:={text(context, name)} is not there: give the path of a file'
            )
    if text(context, 'video') and text(context, 'image_transport') == 'compressed':
        raise WrongArgument('a video is published raw: leave image_transport:=compressed away')
    for name in ('autostart', 'follow', 'loop', 'page', 'rviz'):
        truth(context, name)
    rate(context)
    if truth(context, 'rviz'):
        try:
            get_package_prefix('rviz2')
        except PackageNotFoundError as error:
            raise WrongArgument(
                'rviz:=true needs the package rviz2: install it (apt install '
                f'ros-{os.environ.get("ROS_DISTRO", "<distribution>")}-rviz2), or leave rviz away'
            ) from error
    return []


def text(context: LaunchContext, name: str) -> str:
    return LaunchConfiguration(name).perform(context)


def truth(context: LaunchContext, name: str) -> bool:
    given = text(context, name)
    if given.lower() not in ('true', 'false'):
        raise WrongArgument(f'{name}:={given} is neither true nor false')
    return given.lower() == 'true'


def rate(context: LaunchContext) -> float:
    given = text(context, 'rate')
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not isfinite(value) or not 0 <= value <= 1000:
        raise WrongArgument(f'rate:={given} is no number of images per second from 0 to 1000')
    return value


def tracker(context: LaunchContext) -> list:
    """The tracker node; arguments that are given win over the parameter file."""
    names = ('tracker', 'variant', 'weights', 'settings', 'device', 'image_transport')
    given = {name: text(context, name) for name in names}
    node = LifecycleNode(
        package=PACKAGE,
        executable='tracker_node',
        name='memtrack',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {name: ParameterValue(value, value_type=str) for name, value in given.items() if value},
        ],
        remappings=[('image', LaunchConfiguration('image'))],
        output='screen',
    )
    return started(context, node)


def follow(context: LaunchContext) -> list:
    """The follow node, when it is wanted."""
    if not truth(context, 'follow'):
        return []
    cmd_vel = text(context, 'cmd_vel')
    node = LifecycleNode(
        package=PACKAGE,
        executable='follow_node',
        name='follow',
        namespace=LaunchConfiguration('namespace'),
        parameters=[LaunchConfiguration('follow_params_file')],
        remappings=[('~/cmd_vel', cmd_vel)] if cmd_vel else [],
        output='screen',
    )
    return started(context, node)


def page(context: LaunchContext) -> list:
    """The operator's page, when it is wanted."""
    if not truth(context, 'page'):
        return []
    transport = text(context, 'image_transport')
    given = {'image_transport': ParameterValue(transport, value_type=str)} if transport else {}
    return [
        Node(
            package=PACKAGE,
            executable='page_node',
            name='page',
            namespace=LaunchConfiguration('namespace'),
            parameters=[LaunchConfiguration('page_params_file'), given],
            remappings=[
                ('image', LaunchConfiguration('image')),
                ('image/compressed', [LaunchConfiguration('image'), '/compressed']),
            ],
            output='screen',
        )
    ]


def started(context: LaunchContext, node: LifecycleNode) -> list:
    """A lifecycle node that is configured and activated, or with autostart:=false left alone."""
    if not truth(context, 'autostart'):
        return [node]

    def emit(transition: int) -> EmitEvent:
        return EmitEvent(
            event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
        )

    configure = OnProcessStart(target_action=node, on_start=[emit(Transition.TRANSITION_CONFIGURE)])
    activate = OnStateTransition(
        target_lifecycle_node=node,
        start_state='configuring',
        goal_state='inactive',
        handle_once=True,  # later transitions are the user's
        entities=[emit(Transition.TRANSITION_ACTIVATE)],
    )
    return [RegisterEventHandler(configure), RegisterEventHandler(activate), node]


def camera(context: LaunchContext) -> list:
    """The camera node, when there is a video to play; should it fail, all ends."""
    video = text(context, 'video')
    if not video:
        return []
    image = text(context, 'image')
    node = Node(
        package=PACKAGE,
        executable='camera_node',
        name='camera',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            {
                'source': ParameterValue(video, value_type=str),
                'loop': truth(context, 'loop'),
                'rate': rate(context),
            }
        ],
        remappings=[
            ('image_raw', image),
            ('camera_info', '/'.join([*image.split('/')[:-1], 'camera_info'])),
        ],
        output='screen',
    )

    def end(event: ProcessExited, context: LaunchContext) -> None:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError(f'video:={video} is not shown: the camera says above why')

    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=end)), node]


def rviz(context: LaunchContext) -> list:
    """RViz, when it is wanted."""
    if not truth(context, 'rviz'):
        return []
    return [
        Node(
            package='rviz2',
            executable='rviz2',
            namespace=LaunchConfiguration('namespace'),
            arguments=['-d', str(SHARE / 'resource' / 'tracker.rviz')],
            remappings=[
                ('/camera/image_raw', LaunchConfiguration('image')),
                ('/memtrack/overlay', 'memtrack/overlay'),
                ('/memtrack/memory', 'memtrack/memory'),
                ('/memtrack/mask', 'memtrack/mask'),
                ('/memtrack/markers', 'memtrack/markers'),
                ('/memtrack/pose', 'memtrack/pose'),
            ],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    # Without it images are lost between processes; the file says more.
    profile = str(SHARE / 'config' / 'fastdds_shm.xml')
    variables = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            *(
                SetEnvironmentVariable(name, profile)
                for name in variables
                if name not in os.environ
            ),
            *(
                OpaqueFunction(function=part)
                for part in (check, tracker, follow, page, camera, rviz)
            ),
        ]
    )
