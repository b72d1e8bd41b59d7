"""What checks the shapes in signatures: `tests/conftest.py` has it look at every function of the method."""

from beartype import BeartypeConf, beartype

# A whole number is as good as a decimal one.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
