"""The page that a person looks at: what the device sees, what it makes of it, and how it is."""
