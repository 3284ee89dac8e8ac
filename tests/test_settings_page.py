"""docs/settings.md says which settings there are. Run as a script, this file writes the page."""

import json
from pathlib import Path

from lowshot.config import Config
from lowshot.settings import METHODS

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """# Settings

Every setting with its default: for `--set KEY=VALUE`, a file for `--config`, a dictionary in Python, and
`config.yaml` of a run. Later ones override earlier ones: default, preset, `--config FILE`, `--set`, named flag. Write
lists as in `--set labels=[0.01,0.1]`.
"""
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def allowed(schema):
    """What a value may be, in a few signs."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    return ", ".join(f"{sign} {schema[key]:g}" for key, sign in SIGNS.items() if key in schema)


def table(section, prefix):
    lines = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    for key, schema in section.model_json_schema()["properties"].items():
        if key == "name" or "$ref" in schema or "discriminator" in schema:
            continue
        default = json.dumps(schema["default"], ensure_ascii=False)
        meaning = schema.get("description", "").replace("|", "\\|")
        lines.append(f"| `{prefix}{key}` | `{default}` | {allowed(schema)} | {meaning} |")
    return "\n".join(lines)


def chapter(section, name):
    parts = [f"## `{name}`\n\n{section.__doc__.strip()}\n\n{table(section, name + '.')}"]
    for key, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            inner = field.annotation
            parts.append(f"### `{name}.{key}`\n\n{field.description}\n\n{table(inner, f'{name}.{key}.')}")
    return parts


def page():
    parts = [HEAD, table(Config, "")]
    for name, field in Config.model_fields.items():
        if name == "method":
            parts.append("## `method`\n\n`method.name`, or `--method`, names the method; each has keys of its own.")
            parts += [
                f"### `{method}`\n\n{section.__doc__.strip()}\n\n{table(section, 'method.')}"
                for method, section in METHODS.items()
            ]
        elif hasattr(field.annotation, "model_fields"):
            parts += chapter(field.annotation, name)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def test_the_page_names_every_setting_as_it_is():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python tests/test_settings_page.py` to write it anew"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
