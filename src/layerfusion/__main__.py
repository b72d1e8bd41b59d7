"""`python -m layerfusion`, the same as the command `layerfusion`."""

from layerfusion.cli import app

app(prog_name="layerfusion")
