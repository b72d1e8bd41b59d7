"""What is timed, and the last results with the machine's name."""
