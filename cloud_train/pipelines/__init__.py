"""Pipelines: the same steps on this machine, on Kubeflow and, for training, as jobs in SageMaker."""
