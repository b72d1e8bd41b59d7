"""What is measured and drawn of a run."""
