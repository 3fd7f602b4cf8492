"""What the documents name exists: files and headings behind links, commands, benchmarks, tests."""

import re
from pathlib import Path

import click
import pytest
import typer

from scintiflow.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "reference/*.md", "infra/**/*.md")
    for path in ROOT.glob(pattern)
)  # fmt: skip
ELSEWHERE = ("https://", "http://", "mailto:")

each_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def fenced(page: Path) -> str:
    return "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them: lower case, hyphens for blanks, no other punctuation."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(page: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    aim = page.parent / target if target else page
    return not aim.exists() or bool(anchor and anchor not in anchors(aim))


@each_page
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)]*)\)", page.read_text())
    assert [link for link in links if not link.startswith(ELSEWHERE) and leads_nowhere(page, link)] == []


@each_page
def test_commands_exist(page):
    program = typer.main.get_command(app)
    unknown = []
    for first, second in re.findall(r"^(?:\.venv/bin/)?scintiflow +([a-z-]+)(?: +([a-z-]+))?", fenced(page), re.M):
        command = program.commands.get(first)
        if command is None or (isinstance(command, click.Group) and second and second not in command.commands):
            unknown.append(f"{first} {second}".strip())
    assert unknown == []


@each_page
def test_named_programs_exist(page):
    named = re.findall(r"\b((?:benchmarks|tests)/[\w/]+\.(?:py|yaml))\b", page.read_text())
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_there_are_documents():
    assert len(PAGES) > 20
    assert "scintiflow restore" in fenced(ROOT / "README.md")
