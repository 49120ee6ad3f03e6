"""Jobs that run beside a pipeline: started, described, stopped and listed in the same words wherever they run."""
