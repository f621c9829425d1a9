"""A hook of mkdocs: pages that are made when the site is built, and formulas as MathML.

Notebooks and the gallery come from the notebooks as committed; the pages for contributors, of changes and of benchmarks are
files at the root of the repository, whose links are turned to the pages of the site.
"""

import html
import re
from pathlib import Path

import latex2mathml.converter
from mkdocs.structure.files import File

from mfsym.figures import FIGURES
from notebooks import Notebook, Picture, plain, read

ROOT = Path(__file__).resolve().parents[2]
COPIES = {"contributing.md": "CONTRIBUTING.md", "changes.md": "CHANGELOG.md", "benchmarks.md": "benchmarks/README.md"}
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
_DISPLAY = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.S)
_LINK = r"\]\({}\.\./([^)#]+)"  # to a file of the repository, from a page so many folders below docs/


def on_files(files, config):
    """Add the pages and pictures that no folder holds."""
    found = [read(path, set(FIGURES)) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    for notebook in found:
        files.append(File.generated(config, f"notebooks/{notebook.name}.md", content=notebook.text))
        for picture in notebook.pictures:
            files.append(File.generated(config, f"notebooks/{picture.name}", content=picture.png))
    files.append(File.generated(config, "gallery.md", content=gallery(found)))
    for page, source in COPIES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for picture in (ROOT / "benchmarks").glob("*.png"):
        files.append(File.generated(config, picture.name, content=picture.read_bytes()))
    return files


def gallery(notebooks: list[Notebook]) -> str:
    """Every figure that a notebook holds, with the code that made it and the command that makes it."""
    shown = {picture.experiment for notebook in notebooks for picture in notebook.pictures}
    if missing := set(FIGURES) - shown:
        raise ValueError(f"No notebook shows the experiments {sorted(missing)}, so that the gallery would lack them.")
    head = (ROOT / "docs" / "gallery_head.txt").read_text(encoding="utf-8")
    return "\n\n".join([head, *(_entry(notebook, picture) for notebook in notebooks for picture in notebook.pictures)])


def _entry(notebook: Notebook, picture: Picture) -> str:
    link = f"[{notebook.title}](notebooks/{notebook.name}.md)"
    if picture.experiment is None:
        title, how = picture.title, f"From the notebook {link}."
    else:
        sentence = FIGURES[picture.experiment].sentence
        title, how = sentence[0].upper() + sentence[1:], f"Discussed in {link}. From the shell:"
        how += f"\n\n```bash\npython -m mfsym figures {picture.experiment}\n```"
    code = f"Drawn by\n\n```python\n{picture.code}\n```" if picture.code else "The notebook has its code."
    return f"## {title}\n\n![{plain(title)}](notebooks/{picture.name})\n\n{how}\n\n{code}"


def on_page_markdown(markdown, page, **_):
    """Links to files of the repository, which a reader of the bare files follows, lead to their pages."""
    if page.file.generated_by:  # from a notebook, to whose folder docs/ is a neighbour
        return markdown.replace("](../docs/", "](../")
    up = "../" * page.file.src_uri.count("/")
    return re.sub(_LINK.format(re.escape(up)), lambda found: f"]({up}{_page_of(found[1])}", markdown)


def _page_of(source: str) -> str:
    pages = {copied: page for page, copied in COPIES.items()}
    return pages.get(source, source.replace(".ipynb", ".md") if source.startswith("notebooks/") else f"../{source}")


def on_page_content(content, **_):
    """Formulas as MathML, which browsers draw without a script."""
    content = _INLINE.sub(lambda found: _mathml(found[1], "inline"), content)
    return _DISPLAY.sub(lambda found: f'<div class="formula">{_mathml(found[1], "block")}</div>', content)


def _mathml(formula: str, display: str) -> str:
    return latex2mathml.converter.convert(html.unescape(formula), display=display)
