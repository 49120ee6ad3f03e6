"""Play a recording (rosbag2 or MCAP), or any media file, through the detector on the recording's own clock."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

ROBOT = str(Path(__file__).with_name("robot.launch.py"))


def generate_launch_description() -> LaunchDescription:
    """Take all arguments of robot.launch.py; `source` must be given, a policy runs in shadow at most."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("source", description="recording to play: a rosbag2 folder or an MCAP file"),
            DeclareLaunchArgument(
                "policy",
                default_value="off",
                description="shadow: compare with what was driven",
                choices=["off", "shadow"],
            ),
            DeclareLaunchArgument("use_sim_time", default_value="true", description="take the time from the recording"),
            DeclareLaunchArgument(
                "end_after", default_value="5", description="seconds after the recording's end at which everything ends"
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(ROBOT)),
        ]
    )
