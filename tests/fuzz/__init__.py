"""Bad input in any number, from any seed: `python -m tests.fuzz --cases 5000 --seed 1`."""
