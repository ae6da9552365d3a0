"""The pages show what works: links, examples, command lines, exit codes and environment variables."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from monitor.cli import main as cli
from monitor.config import load
from monitor.errors import ConfigurationError
from monitor.exit_codes import ExitCode
from monitor.settings import ENV_PREFIX, Settings
from producers.schedule import load_schedule
from producers.synthetic import FRAUD_TRAFFIC
from tests.unit.pages import OPERATIONS, README, ROOT, blocks, each_page, rows, section, spans

TEST_VARIABLES = {"STREAMDRIFT_TEST_KAFKA", "STREAMDRIFT_REQUIRE_KAFKA"}
APP: Any = typer.main.get_command(cli.app)


def commands(group: Any = APP, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands that are shown, with their words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        elif not command.hidden:
            yield (*words, name), command


def options(command: Any) -> set[str]:
    return {
        flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts) if "--" in flag
    }


COMMANDS = dict(commands())


def command_of(words: list[str]) -> tuple[str, ...]:
    """The command that a line begins with."""
    found = [name for name in COMMANDS if tuple(words[: len(name)]) == name]
    assert found, f"there is no command `streamdrift {' '.join(words)}`"
    return found[0]


# ---------------------------------------------------------------------- links, examples


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist, and headings that are named exist in them."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
            }


@each_page
def test_every_alerts_yaml_that_is_shown_passes_its_check(page: Path) -> None:
    """And every other YAML block is a schedule of drift that the synthetic traffic takes."""
    for block in blocks(page, "yaml"):
        if block.startswith("version:"):
            assert load(block, page.name).models
        else:
            assert load_schedule(block, page.name, FRAUD_TRAFFIC)


@each_page
def test_every_json_that_is_shown_is_json(page: Path) -> None:
    """Events and messages."""
    for block in blocks(page, "json"):
        assert isinstance(json.loads(block), dict)


def test_the_errors_that_the_readme_shows_are_those_of_its_file() -> None:
    """Three faults planted in the file above them, reported word for word."""
    text = blocks(README, "yaml")[0].replace("numerical", "numericl").replace("psi >", "pssi >").replace("2m", "2 min")
    with pytest.raises(ConfigurationError) as refused:
        load(text, "alerts.yaml")
    assert f"```\n{refused.value}\n```" in README.read_text()


# ---------------------------------------------------------------------- commands


def shell_lines(page: Path) -> list[list[str]]:
    """The words of every line of the shell blocks, comments left out."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


@each_page
def test_every_command_line_is_accepted(page: Path) -> None:
    """Words, flags, required arguments and choices: the command line parses all that the pages show."""
    for words in shell_lines(page):
        if "streamdrift" in words:
            line = words[words.index("streamdrift") + 1 :]
            name = command_of(line)
            COMMANDS[name].make_context(" ".join(name), line[len(name) :])
        elif words[0] == "make":
            assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(), words


@each_page
def test_every_command_that_is_named_exists(page: Path) -> None:
    """In running text and tables too, with the flags that stand beside it."""
    for span in spans(page.read_text()):
        words = span.split()
        if words[0] == "streamdrift" and len(words) > 1 and not words[1].startswith("--"):
            command = COMMANDS[command_of(words[1:])]
            assert set(re.findall(r"--[a-z-]+", span)) <= options(command), span


def test_all_commands_are_listed_with_all_their_options() -> None:
    """No more and no less, in the page on operations; the README names each."""
    listed = {}
    for first, reported in rows(section(OPERATIONS, "Commands")):
        words = first.strip("`").split()[1:]
        if not words[0].startswith("--"):
            listed[command_of(words)] = set(re.findall(r"--[a-z-]+", first + reported))
    assert listed == {name: options(command) for name, command in COMMANDS.items()}
    named = {
        command_of(cells[0].strip("`").split()[1:])
        for cells in rows(section(README, "Commands"))
        if "streamdrift" in cells[0]
    }
    assert named == set(COMMANDS)


@pytest.mark.parametrize(("page", "heading"), [(README, "Commands"), (OPERATIONS, "Exit codes")])
def test_the_exit_codes_are_those_of_the_command_line(page: Path, heading: str) -> None:
    """Each with its meaning, as `--help` shows it."""
    reported = {int(cells[0]): cells[1] for cells in rows(section(page, heading)) if cells[0].isdecimal()}
    shown = {code: meaning.replace("`", "").partition(":")[0] for code, meaning in reported.items()}
    assert shown == {code.value: code.meaning for code in ExitCode}


def test_all_environment_variables_are_listed_with_their_defaults() -> None:
    """Every setting has its row; what depends on the machine is told in words."""
    listed = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(section(OPERATIONS, "Environment"))}
    assert set(listed) == {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if name != "instance":
            default = field.get_default(call_default_factory=True)
            assert listed[ENV_PREFIX + name.upper()] == ("" if default is None else str(default)), name


@each_page
def test_every_environment_variable_that_is_named_exists(page: Path) -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | TEST_VARIABLES
    assert set(re.findall(r"STREAMDRIFT_[A-Z_]+", page.read_text())) <= known
