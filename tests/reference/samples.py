"""Documents made from the rows of the reference: valid ones from examples and defaults, and bad ones."""

import json
import pathlib
import sys
from xml.sax.saxutils import escape, quoteattr

reference, folder = json.load(open(sys.argv[1])), pathlib.Path(sys.argv[2])
TEXTS = {"keys": "1", "the room's name": "weekly", "a URL": "flow:menu", "words": "Hello."}
# The targets of the examples' branches. Bad values have no target.
ATTAINABLE = {
    row["example"]
    for element in reference["elements"]
    for row in element["attributes"]
    if row["type"] == "element"
}


def text(element):
    said = element["text"] or ""
    return next((good for start, good in TEXTS.items() if said.startswith(start)), "")


def document(element, attributes, name):
    """Writes one element inside its parent."""
    stated = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    inner = f"<{element['name']}{stated}>{escape(text(element))}</{element['name']}>"
    parent = element["stands_in"][0]
    outer = inner if parent == "Response" else f"<{parent}>{inner}</{parent}>"
    branches = [row["name"] for row in element["attributes"] if row["type"] == "element"]
    ids = sorted({value for key, value in attributes.items() if key in branches})
    outer += "".join(f"<Wait id={quoteattr(it)}/>" for it in ids if it in ATTAINABLE)
    (folder / name).write_text(f"<Response>{outer}</Response>\n")


good = bad = 0
for element in reference["elements"]:
    if not element["stands_in"]:
        continue
    rows = element["attributes"]
    values = [
        {row["name"]: row["example"] for row in rows},
        {row["name"]: row["default"]["plivo"] for row in rows},
        {row["name"]: row["default"]["vobiz"] for row in rows},
    ]
    for attributes in values:
        attributes = {name: value for name, value in attributes.items() if value is not None}
        document(element, attributes, f"good-{good:04}.xml")
        good += 1
    wrong = [{"colour": "red"}]
    for row in rows:
        if row["type"] != "text":
            wrong += [{row["name"]: "no good value"}, {row["name"]: "+1"}]
        if row["min"]:
            wrong.append({row["name"]: str(row["min"] - 1)})
        if row["max"]:
            wrong.append({row["name"]: str(row["max"] + 1)})
    for attributes in wrong:
        document(element, attributes, f"bad-{bad:04}.xml")
        bad += 1
print(f"the reference: {good} documents of examples and defaults, {bad} of bad values")
