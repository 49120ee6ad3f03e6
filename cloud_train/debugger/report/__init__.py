"""The training report: each section a function from data to a figure, a sentence and a table."""
