"""The graphs as MLOps engineers see them: Kubeflow Pipelines."""
