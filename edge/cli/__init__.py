"""Subcommands of `touchline`, a file for each topic."""
