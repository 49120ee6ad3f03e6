"""The ROS 2 nodes, as ament_python builds them."""

from setuptools import setup

NAME = "touchline_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},  # colcon test runs nothing without it
    zip_safe=True,
    maintainer="The Touchline authors",
    maintainer_email="touchline@example.org",
    description="Touchline as ROS 2 lifecycle nodes",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            f"{node} = {NAME}.{node}:main"
            for node in (
                "event_detector",
                "policy",
                "guard",
                "mqtt_gateway",
                "announcer",
                "recorder",
                "player",
                "together",
            )
        ]
    },
)
