"""Policies learnt by reinforcement in simulation: tasks, training, judging, and the way into a bundle."""
