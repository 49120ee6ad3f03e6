"""Touchline in the cloud: labelled recordings in, a bundle for the device out."""
