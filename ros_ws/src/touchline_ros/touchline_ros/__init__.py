"""Touchline as ROS 2 lifecycle nodes: thin, over `edge`."""
