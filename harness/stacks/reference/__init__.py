"""The reference platform as a local stack: a table of services, and the plan made of it."""
