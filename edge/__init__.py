"""Touchline on the device: one second of media in, one decision out."""

__version__ = "0.1.0"
