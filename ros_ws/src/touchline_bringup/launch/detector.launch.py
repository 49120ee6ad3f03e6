"""Start only the event detector: no policy, so nothing that could move."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

ROBOT = str(Path(__file__).with_name("robot.launch.py"))


def generate_launch_description() -> LaunchDescription:
    """Take all arguments of robot.launch.py but `policy`."""
    fixed = {"policy": "off"}
    return LaunchDescription(
        [IncludeLaunchDescription(PythonLaunchDescriptionSource(ROBOT), launch_arguments=fixed.items())]
    )
