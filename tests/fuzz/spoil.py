"""How a good file becomes a bad one."""

import io
import json
import random
import re
import struct
import zipfile
from typing import Any

NUMBERS = (0, -1, 1, 2**31, 2**32 - 1, 2**63, -(10**9), 3_000_000_000, 1e308, -1e308, 1e-320, 0.5, 10**40)
# What JSON allows and few expect; each is put into the text as it stands.
ODD = ("1e400", "-1e400", "9" * 5000, "NaN", "Infinity", '"\\ud800"', '"\\u0000"', "[" * 2000 + "]" * 2000, "{}", "[]")
ODD += (
    "null",
    "true",
    '""',
    '"x"',
    "[[[[]]]]",
    "1" + "0" * 400,
    '"' + "y" * 100_000 + '"',
    "-0.0",
    '"../../etc/passwd"',
)
TEXTS = ("", " ", "\0", "\ud800", "x" * 5000, "../../x", "/etc/passwd", "~nobody-here/x", "ü" * 200, "\n", "🦊", "%s%n")
TEXTS += (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e309",
    "9" * 5000,
    "1,2,3,4",
    "٣",
    "0x10",
    "1_000",
    "--",
    "-",
    "a=b",
    "None",
)


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut, doubled, moved or exchanged for extreme numbers."""
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not spoilt:
            break
        at = rng.randrange(len(spoilt)) if rng.random() < 0.5 else rng.randrange(min(len(spoilt), 200))
        span = rng.choice((1, 2, 4, 8, 64, 1024))
        how = rng.randrange(7)
        if how == 0:
            spoilt[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del spoilt[at:]
        elif how == 2:
            spoilt[at : at + span] = rng.randbytes(span)
        elif how == 3:
            del spoilt[at : at + span]
        elif how == 4:
            spoilt[at:at] = spoilt[at : at + span] * rng.choice((1, 2, 100))
        elif how == 5:
            spoilt[at : at + 4] = struct.pack(">I", rng.choice((0, 1, 2**31, 2**32 - 1, 30_001, 65_535)))
        else:
            spoilt[at : at + 8] = struct.pack("<Q", rng.choice((0, 1, 2**31, 2**32, 2**63, 2**64 - 1)))
    return bytes(spoilt)


def spoil_value(value: Any, rng: random.Random) -> Any:
    """Another value, of the same type or of none that fits."""
    return rng.choice(
        [
            rng.choice(NUMBERS),
            rng.choice(TEXTS),
            None,
            True,
            [],
            {},
            [value],
            {"x": value},
            -value if isinstance(value, (int, float)) else value,
            value * 1000 if isinstance(value, (int, float)) else value,
        ]
    )


def spoil_json(text: str, rng: random.Random) -> str:
    """JSON of which one or more entries are lost, renamed, doubled or of another value."""
    if rng.random() < 0.15:
        return spoil_bytes(text.encode(), rng).decode("latin-1")
    try:
        values = json.loads(text)
    except ValueError:
        return text[: len(text) // 2]
    marks: dict[str, str] = {}
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        holder, key = _entry(values, rng)
        if holder is None:
            values = rng.choice(([], {}, "", 0, None))
            break
        how = rng.randrange(6)
        if how == 0:
            del holder[key]
        elif how == 1:
            mark = f"odd-{len(marks)}-odd"
            holder[key] = mark
            marks[json.dumps(mark)] = rng.choice(ODD)
        elif how == 2 and isinstance(holder, dict):
            holder[str(key) + rng.choice(("s", " ", "_"))] = holder.pop(key)
        elif how == 3 and isinstance(holder, list):
            holder.extend([holder[key]] * rng.choice((1, 10, 5000)))
        else:
            holder[key] = spoil_value(holder[key], rng)
    try:
        spoilt = json.dumps(values)
    except (ValueError, OverflowError):
        spoilt = text[:-2]
    for mark, odd in marks.items():
        spoilt = spoilt.replace(mark, odd)
    return spoilt


def _entry(values: Any, rng: random.Random) -> tuple[Any, Any]:
    """Somewhere in a tree: what holds it, and its key."""
    holder, key = None, None
    while isinstance(values, (dict, list)) and values:
        holder = values
        key = rng.choice(list(values)) if isinstance(values, dict) else rng.randrange(len(values))
        values = values[key]
        if rng.random() < 0.3:
            break
    return holder, key


def spoil_zip(data: bytes, rng: random.Random) -> bytes:
    """An archive with members that are spoilt, lost, doubled, renamed, or packed in another way."""
    if rng.random() < 0.3:
        return spoil_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    chosen = rng.randrange(len(members))
    name, content = members[chosen]
    how = rng.randrange(6)
    if how <= 2:
        content = spoil_xml(content.decode(), rng).encode("utf-8", "surrogatepass") if name.endswith("xml") else content
        members[chosen] = (name, content if name.endswith("xml") else spoil_bytes(content, rng))
    elif how == 3:
        del members[chosen]
    elif how == 4:
        members.append((name, content))
    else:
        members[chosen] = (rng.choice(("../" + name, "/" + name, name.upper(), "x" * 300)), content)
    buffer = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def spoil_xml(text: str, rng: random.Random) -> str:
    """XML of which a value, a name or a piece is another."""
    if rng.random() < 0.3:
        return spoil_bytes(text.encode(), rng).decode("latin-1")
    values = list(re.finditer(r'="([^"]*)"', text))
    if not values:
        return text[: len(text) // 2]
    found = rng.choice(values)
    new = rng.choice((*map(str, NUMBERS), "nan", "", "x", "-", "data/none.png", "&#0;", "&x;", "y" * 100_000, "1e400"))
    head = '<?xml version="1.0" encoding="utf-99"?>' if rng.random() < 0.05 else ""
    return head + text[: found.start(1)] + new + text[found.end(1) :]


def spoil_weights(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header, shapes, names or numbers are others."""
    how = rng.randrange(5)
    if how == 0:
        return spoil_bytes(data, rng)
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = data[8 : 8 + length].decode(), data[8 + length :]
    if how == 1:
        header = spoil_json(header, rng)
    elif how == 2:
        return struct.pack("<Q", rng.choice((0, 1, 2**62, length * 2, length - 1))) + data[8:]
    elif how == 3:
        tensors = bytes(rng.choice(b"\x00\xff\x7f\x80")) * len(tensors) if rng.random() < 0.5 else tensors[:-1]
    else:
        entries = json.loads(header)
        names = [name for name in entries if name != "__metadata__"]
        name = rng.choice(names)
        if rng.random() < 0.5:
            entries[rng.choice(("x", name + ".weight", name.replace(".", "_")))] = entries.pop(name)
        else:
            entries[name]["dtype"] = rng.choice(("F16", "F64", "I8", "U8", "BOOL", "F99"))
        header = json.dumps(entries)
    encoded = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(encoded)) + encoded + tensors
