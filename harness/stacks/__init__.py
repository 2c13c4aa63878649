"""Drivers that start the system under test, and what they share."""
