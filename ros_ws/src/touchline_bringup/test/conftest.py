"""Nodes of one test run meet each other and nobody else."""

import os

# Before rclpy is imported; touchline_ros's tests have 1 to 100, and from 102 to 214 the ports may be taken.
os.environ["ROS_DOMAIN_ID"] = str(215 + os.getpid() % 17)
