"""The subcommands of `touchline-train`: each adds its options and runs one function."""
