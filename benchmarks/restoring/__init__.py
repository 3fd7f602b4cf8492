"""The parts of benchmarks/restoration.py."""
