"""JSON Schema of the site files, for editors."""

from __future__ import annotations

import json
from pathlib import Path

from estate.model import Estate

PATH = Path(__file__).parent / "schema" / "estate.schema.json"


def render() -> str:
    """The schema of a site file: any of the estate's topics, each at most once over all files."""
    schema = Estate.model_json_schema()
    # A file holds some topics; the loader joins the files and then demands what is required.
    schema.pop("required", None)
    schema["properties"].pop("deployment", None)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Site file"
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
