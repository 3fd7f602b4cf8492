-- Runs once, when the volume is empty. The database `mlflow` is made by the image from its environment.
CREATE DATABASE mlflow_auth OWNER mlflow;
