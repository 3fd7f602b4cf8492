"""Work on several nodes: a TrainJob of Kubeflow Trainer, watched to its end."""
