"""Launch files and parameters, as ament_python installs them."""

from pathlib import Path

from setuptools import setup

NAME = "touchline_bringup"


def files(folder: str, pattern: str) -> tuple[str, list[str]]:
    """The files of a folder, with the place in the share folder that they go to."""
    return f"share/{NAME}/{folder}", sorted(map(str, Path(folder).glob(pattern)))


setup(
    name=NAME,
    version="0.1.0",
    packages=[],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        files("launch", "*.launch.py"),
        files("config", "*.yaml"),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},  # colcon test runs nothing without it
    zip_safe=True,
    maintainer="The Touchline authors",
    maintainer_email="touchline@example.org",
    description="Starts Touchline on a robot",
    license="Apache-2.0",
)
