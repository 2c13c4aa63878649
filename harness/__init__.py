"""One scenario file from load and fault to a verdict that can be defended."""

__version__ = "0.1.0"
