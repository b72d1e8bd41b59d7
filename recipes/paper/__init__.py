"""The paper's tables and figures, each a command: `python -m recipes.paper.table1` and its neighbours.

They run offline on the embedded model, and with `--model` on any other.
"""
