"""Hook of the docs site: documents at the top of the repository join it, and links out of docs/ stay honest.

Documents link to files of the repository, as GitHub shows them. On the site, a link to a document at the top leads to
its page; a link to any other file becomes its path in code. A link to nothing fails the strict build.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

TOP = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
log = logging.getLogger("mkdocs.hooks.site_links")


def on_files(files: Any, config: Any) -> Any:
    """Add the documents at the top of the repository."""
    for name in TOP:
        text = (Path(config["config_file_path"]).parent / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite links that leave docs/."""
    root = Path(config["config_file_path"]).parent
    source = page.file.src_uri
    inside = "" if source in TOP else "docs"

    def rewrite(found: re.Match[str]) -> str:
        image, words, target, anchor = found[1], found[2], found[3], found[4] or ""
        if re.match(r"[a-z]+:", target):
            return found[0]
        path = posixpath.normpath(posixpath.join(inside, posixpath.dirname(source), target))
        if not (root / path).exists():
            log.warning("%s: link to %s, which is not in the repository", source, target)
        if path in TOP:
            uri = path
        elif path.startswith("docs/"):
            uri = path.removeprefix("docs/")
        else:
            return words if words.startswith("`") else f"{words} (`{path}`)" if words != path else f"`{path}`"
        return f"{image}[{words}]({posixpath.relpath(uri, posixpath.dirname(source) or '.')}{anchor})"

    # Code blocks are not prose.
    parts = re.split(r"(^```.*?^```)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else LINK.sub(rewrite, part) for part in parts)
