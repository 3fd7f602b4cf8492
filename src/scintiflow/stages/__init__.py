"""The stages: plain functions from paths to paths. The only place where the floors meet."""
