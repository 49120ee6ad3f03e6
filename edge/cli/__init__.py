"""Subcommands of `touchline`, one topic a file."""
