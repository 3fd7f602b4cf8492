"""MLflow, and only here: runs, the model as a pyfunc, the gate, champion and challenger."""
