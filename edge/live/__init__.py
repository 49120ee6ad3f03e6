"""Live sources: cameras, streams and microphones, each read by a process of its own."""
