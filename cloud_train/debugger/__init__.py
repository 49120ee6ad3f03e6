"""The debugger: a hook saves tensors while a job trains, rules judge them beside it or inside it, and act."""
