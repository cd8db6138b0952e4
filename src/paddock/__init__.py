"""Paddock: one place to run containers on many Linux machines."""

__version__ = "0.1.0"
