"""Where a stack's pictures come from, as files carry it: prompts, seed and settings, and nothing of the machine.

A stack's provenance is the content of `triplet.json`. Files keep it whole, as JSON, and say the main points in the
words of their own format; photo programs read an XMP packet (ISO 16684-1) with the terms of the IPTC standard.
"""

import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from typing import Any

import layerfusion
from layerfusion.errors import LayerFusionError
from layerfusion.layers.limits import parse_json, parse_xml

PNG_KEYWORD, PNG_XMP_KEYWORD = "layerfusion", "XML:com.adobe.xmp"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
XMP = "http://ns.adobe.com/xap/1.0/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
OWN = "urn:layerfusion:xmp:1.0:"
for prefix, namespace in {"x": "adobe:ns:meta/", "rdf": RDF, "dc": DC, "xmp": XMP, "Iptc4xmpExt": IPTC}.items():
    ET.register_namespace(prefix, namespace)
ET.register_namespace("layerfusion", OWN)
# IPTC's word for a picture of which a model made at least a part; the rest may have been exchanged by hand.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
LOCAL_PATH = re.compile(r"(/|~|\.{1,2}/|\\\\|[A-Za-z]:[\\/]|file:)")
# What is told of a triplet, in this order: a label, and the keys of the record.
FACTS = (
    ("Foreground", "foreground_prompt"),
    ("Background", "background_prompt"),
    ("Not in the foreground", "negative_foreground"),
    ("Not in the background", "negative_background"),
    ("Seed", "seed"),
    ("Steps", "steps"),
    ("Guidance", "guidance_scale"),
)


def portable(provenance: dict[str, Any] | None) -> dict[str, Any] | None:
    """A copy that may leave the machine: paths of this machine are cut to their last name; prompts stay as they are.

    Raises:
        LayerFusionError: it is no dictionary of JSON's kinds of values.
    """
    if provenance is None:
        return None
    try:
        text = json.dumps(provenance, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise LayerFusionError("A stack's provenance holds what JSON cannot; give plain numbers and texts.") from None
    copy = parse_json(text.encode("ascii"), "A stack's provenance")
    if not isinstance(copy, dict):
        raise LayerFusionError("A stack's provenance is a dictionary; give the content of triplet.json.")
    return {key: _portable(value, key) for key, value in copy.items()}


def _portable(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {inner: _portable(one, inner) for inner, one in value.items()}
    if isinstance(value, list):
        return [_portable(one, key) for one in value]
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode("utf-8")  # halves of characters cannot be written
        is_prompt = "prompt" in key or "negative" in key
        if LOCAL_PATH.match(value) and not is_prompt:
            return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value


def facts(provenance: dict[str, Any] | None) -> list[tuple[str, str]]:
    """(label, text) of what a person wants to know: prompts, seed, settings, model; empty where nothing is known."""
    known = provenance or {}
    found = [(label, str(known[key])) for label, key in FACTS if known.get(key) not in (None, "")]
    model = known.get("model")
    name = model.get("name") if isinstance(model, dict) else model
    return [*found, ("Model", str(name))] if name else found


def sentence(provenance: dict[str, Any] | None) -> str:
    """The facts in one line, without control characters."""
    line = "; ".join(f"{label.lower()}: {text}" for label, text in facts(provenance))
    return "".join(c for c in line if unicodedata.category(c) not in ("Cc", "Cs") and c not in "\ufffe\uffff")


def png_texts(provenance: dict[str, Any] | None) -> dict[str, str]:
    """What a PNG carries: the whole as `layerfusion`, as generated PNGs do, and the XMP packet."""
    if provenance is None:
        return {}
    return {PNG_KEYWORD: to_json(provenance), PNG_XMP_KEYWORD: xmp_packet(provenance).decode("utf-8")}


def to_json(provenance: dict[str, Any]) -> str:
    """One line of JSON, ASCII only, so that every carrier keeps it."""
    return json.dumps(provenance)


def xmp_packet(provenance: dict[str, Any]) -> bytes:
    """UTF-8 XMP: description, tool and source type for every program, the whole record for this one."""
    root = ET.Element("{adobe:ns:meta/}xmpmeta")
    about = ET.SubElement(ET.SubElement(root, f"{{{RDF}}}RDF"), f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    line = sentence(provenance)
    texts = {
        f"{{{XMP}}}CreatorTool": f"LayerFusion {layerfusion.__version__}",
        f"{{{IPTC}}}DigitalSourceType": SOURCE_TYPE,
        f"{{{IPTC}}}AISystemUsed": "LayerFusion",
        f"{{{IPTC}}}AIPromptInformation": line,
        f"{{{OWN}}}record": to_json(provenance),
    }
    for tag, text in texts.items():
        ET.SubElement(about, tag).text = text
    choice = ET.SubElement(ET.SubElement(about, f"{{{DC}}}description"), f"{{{RDF}}}Alt")
    ET.SubElement(choice, f"{{{RDF}}}li", {"{http://www.w3.org/XML/1998/namespace}lang": "x-default"}).text = line
    body = ET.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="w"?>'.encode()


def from_xmp(packet: bytes) -> dict[str, Any] | None:
    """The record in an XMP packet; None where there is none, or the packet is broken: the pictures count, not it."""
    try:
        record = parse_xml(packet, "The XMP packet").find(f".//{{{OWN}}}record")
        return None if record is None else portable(parse_json((record.text or "").encode(), "The XMP packet"))
    except LayerFusionError:
        return None
