"""Start the policy in shadow: it decides beside a human driver, the differences are logged, nothing moves."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

ROBOT = str(Path(__file__).with_name("robot.launch.py"))


def generate_launch_description() -> LaunchDescription:
    """Take all arguments of robot.launch.py but `policy`."""
    fixed = {"policy": "shadow"}
    return LaunchDescription(
        [IncludeLaunchDescription(PythonLaunchDescriptionSource(ROBOT), launch_arguments=fixed.items())]
    )
