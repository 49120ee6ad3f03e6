"""Watch a training: what it saves, what rules say of it, what a report shows."""
