"""One module per stage: a Kubeflow component of a few lines that calls the stage."""
