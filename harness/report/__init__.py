"""What people and machines read after a run; every module turns a result into text."""
