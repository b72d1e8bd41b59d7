"""Lint: no file over 400 lines, no function over 60 without its docstring. `python -m tools.lengths`"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOTS = ("src", "recipes", "benchmarks", "tools")
FILE, FUNCTION = 400, 60
# Faces are thin, and the pipeline reads like its lifecycle.
LIMITS = {"src/layerfusion/cli": 650, "src/layerfusion/pipeline.py": 380}


def main() -> int:
    files = {path: path.read_text(encoding="utf-8") for root in ROOTS for path in sorted(Path(root).rglob("*.py"))}
    lines = {path: len(text.splitlines()) for path, text in files.items()}
    limited = {Path(name): limit for name, limit in LIMITS.items()}
    sums = {at: sum(n for path, n in lines.items() if path.is_relative_to(at)) for at in limited}
    broken = [f"{path}: {n} lines; at most {FILE}" for path, n in lines.items() if n > FILE]
    broken += [f"{at}: {n} lines in all; at most {limited[at]}" for at, n in sums.items() if n > limited[at]]
    broken += [complaint for path, text in files.items() for complaint in too_long(path, text)]
    print("\n".join(broken) or f"Lengths of {len(files)} files are within bounds.")
    return bool(broken)


def too_long(path: Path, text: str) -> Iterator[str]:
    """A complaint for each function of a file that is over the limit."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) else 0
            length = (node.end_lineno or 0) - node.lineno + 1 - docstring
            if length > FUNCTION:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines; at most {FUNCTION}"


if __name__ == "__main__":
    sys.exit(main())
