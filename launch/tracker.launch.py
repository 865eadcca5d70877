"""Starts the tracker node on a camera topic, or on a video file, and activates it.

ros2 launch memtrack_ros tracker.launch.py image:=/camera/image_raw
ros2 launch memtrack_ros tracker.launch.py video:=/path/to/video.mp4 rviz:=true
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

PACKAGE = 'memtrack_ros'
SHARE = Path(get_package_share_directory(PACKAGE))


def tracker(context: LaunchContext) -> list:
    """The tracker node; arguments that are given win over the parameter file."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ('tracker', 'device')}
    node = LifecycleNode(
        package=PACKAGE,
        executable='tracker_node',
        name='memtrack',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {name: value for name, value in given.items() if value},
        ],
        remappings=[('image', LaunchConfiguration('image'))],
        output='screen',
    )

    def emit(transition: int) -> EmitEvent:
        return EmitEvent(
            event=ChangeState(
                lifecycle_node_matcher=matches_action(node), transition_id=transition
            ),
            condition=IfCondition(LaunchConfiguration('autostart')),
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
    """The camera node, when there is a video to play."""
    video = LaunchConfiguration('video').perform(context)
    if not video:
        return []
    image = LaunchConfiguration('image').perform(context)
    return [
        Node(
            package=PACKAGE,
            executable='camera_node',
            name='camera',
            namespace=LaunchConfiguration('namespace'),
            parameters=[{'source': video}],
            remappings=[
                ('image_raw', image),
                ('camera_info', '/'.join([*image.split('/')[:-1], 'camera_info'])),
            ],
            output='screen',
        )
    ]


def generate_launch_description() -> LaunchDescription:
    # Without it images are lost between processes; the file says more.
    profile = str(SHARE / 'config' / 'fastdds_shm.xml')
    variables = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'image', default_value='camera/image_raw', description='image topic to follow in'
            ),
            DeclareLaunchArgument(
                'tracker', default_value='', description='empty: as the params_file says'
            ),
            DeclareLaunchArgument(
                'device',
                default_value='',
                description='auto, cpu, cuda, cuda:N; empty: as the params_file says',
            ),
            DeclareLaunchArgument(
                'params_file',
                default_value=str(SHARE / 'config' / 'tracker.yaml'),
                description='parameters of the tracker node',
            ),
            DeclareLaunchArgument(
                'namespace', default_value='', description='namespace of all nodes'
            ),
            DeclareLaunchArgument(
                'autostart',
                default_value='true',
                description='configure and activate the node; false leaves this to a manager',
            ),
            DeclareLaunchArgument(
                'rviz', default_value='false', description='show image, overlay and mask in RViz'
            ),
            DeclareLaunchArgument(
                'video',
                default_value='',
                description='video file, webcam (0, /dev/video0) or "scene" to publish on `image`',
            ),
            *(
                SetEnvironmentVariable(name, profile)
                for name in variables
                if name not in os.environ
            ),
            OpaqueFunction(function=tracker),
            OpaqueFunction(function=camera),
            Node(
                package='rviz2',
                executable='rviz2',
                namespace=LaunchConfiguration('namespace'),
                arguments=['-d', str(SHARE / 'resource' / 'tracker.rviz')],
                remappings=[
                    ('/camera/image_raw', LaunchConfiguration('image')),
                    ('/memtrack/overlay', 'memtrack/overlay'),
                    ('/memtrack/mask', 'memtrack/mask'),
                ],
                condition=IfCondition(LaunchConfiguration('rviz')),
            ),
        ]
    )
