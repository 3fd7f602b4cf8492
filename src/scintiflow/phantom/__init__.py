"""Simulated children: anatomy by age, a gamma camera, a hospital export, and the truth that no clinic has."""
