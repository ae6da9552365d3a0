"""The core is pure: what lint rules and import contracts can't say of builtins is checked here, and that each bites."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = (
    "events.py",
    "errors.py",
    "contract.py",
    "config",
    "codec",
    "stats",
    "detectors",
    "panes",
    "ledger",
    "profile",
    "evaluate",
)
BANNED_CALLS = {
    "open": "I/O: the caller reads the file",
    "print": "I/O: return a value",
    "input": "I/O",
    "breakpoint": "left over from debugging",
    "eval": "expressions have a parser of their own",
    "exec": "no code from text",
    "__import__": "hides an import from the contracts",
    "hash": "differs from process to process: use a digest",
    "id": "differs from process to process",
}
"""Builtins that the core may not call, with the reason."""


def banned_calls(source: str) -> list[tuple[int, str]]:
    """Line and name of every call of a banned builtin, also where it is passed on to be called (`map(hash, ...)`)."""
    names = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and node.id in BANNED_CALLS)
    return sorted((node.lineno, node.id) for node in names if isinstance(node.ctx, ast.Load))


def core_files() -> list[Path]:
    files = [path for part in CORE for path in (ROOT / "monitor" / part).glob("**/*.py")]
    return sorted(files + [ROOT / "monitor" / part for part in CORE if part.endswith(".py")])


@pytest.mark.parametrize("path", core_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_calls_no_builtin_that_does_io_or_differs_between_processes(path: Path) -> None:
    """Same log, same answers: a file of the core takes values and returns values."""
    found = banned_calls(path.read_text(encoding="utf-8"))
    assert not found, [f"{path}:{line}: {name}(): {BANNED_CALLS[name]}" for line, name in found]


@pytest.mark.parametrize("name", BANNED_CALLS)
def test_each_banned_builtin_is_found(name: str) -> None:
    """Called, and passed on; a method or attribute of that name is something else."""
    assert banned_calls(f"def f(x):\n    return {name}(x)\n") == [(2, name)]
    assert banned_calls(f"y = list(map({name}, []))\n") == [(1, name)]
    assert banned_calls(f"window.{name}(1)\n") == []


@pytest.mark.parametrize(
    "planted",
    [
        "import time\n\nnow = time.time()\n",
        "from time import monotonic\n\nnow = monotonic()\n",
        "from datetime import datetime\n\nnow = datetime.now()\n",
        "import datetime\n\ntoday = datetime.date.today()\n",
        "import random\n\nx = random.random()\n",
        "import numpy as np\n\nx = np.random.default_rng()\n",
        "import uuid\n\nx = uuid.uuid4()\n",
        "import os\n\nx = os.environ\n",
        "from pathlib import Path\n\nx = Path()\n",
        "import urllib.request\n\nx = urllib.request.urlopen\n",
        "import logging\n\nlog = logging.getLogger()\n",
        "import structlog\n\nlog = structlog.get_logger()\n",
        "import pickle\n\nx = pickle.loads\n",
        "import numpy as np\n\nx = np.log(2.0)\n",
        "import math\n\nx = math.log(2.0)\n",
    ],
    ids=lambda planted: planted.splitlines()[-1],
)
@pytest.mark.parametrize(("place", "found"), [("monitor/stats/planted.py", True), ("monitor/bus/planted.py", False)])
def test_the_lint_rule_bites_in_the_core_and_only_there(planted: str, place: str, found: bool) -> None:
    """ruff's banned-api (TID251) holds for the core; the shell waits, logs and reads files."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--select",
        "TID251",
        "--stdin-filename",
        place,
        "-",
    ]
    result = subprocess.run(command, input=planted, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ("TID251" in result.stdout) is found, result.stdout + result.stderr


PLANTS = {
    "layers": ("monitor/stats/planted.py", "import monitor.config\n", "Imports point down"),
    "siblings": ("monitor/profile/planted.py", "import monitor.evaluate\n", "Imports point down"),
    "new package": ("monitor/planted.py", "", "Imports point down"),
    "clock": ("monitor/panes/planted.py", "import time\n", "The core has no I/O"),
    "broker": ("monitor/evaluate/planted.py", "import kafka\n", "The core has no I/O"),
    "pickle": ("monitor/bus/planted.py", "import pickle\n", "State has explicit codecs"),
    "producers": ("producers/planted.py", "import monitor.panes\n", "Producers share only the wire format"),
    "traffic": ("monitor/bus/planted.py", "import producers\n", "Only the command line joins producers"),
}
"""What is planted where, and the contract that must break."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources and the contracts, to plant faults in."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("monitor", "producers"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize("plant", PLANTS)
def test_each_import_contract_bites(copy: Path, plant: str) -> None:
    """One planted import breaks one contract, and that contract is named."""
    place, source, contract = PLANTS[plant]
    planted = copy / place
    planted.write_text(source, encoding="utf-8")
    try:
        report = _lint_imports(copy)
    finally:
        planted.unlink()
    broken = [line for line in report.splitlines() if " BROKEN" in line]
    assert any(line.startswith(contract) for line in broken), report
    assert "planted" in report


def _lint_imports(folder: Path) -> str:
    """What import-linter prints. Started in the copy, so that `monitor` is the copy's."""
    command = "from importlinter.cli import lint_imports_command as lint; lint(['--no-logo', '--no-cache'])"
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, check=False, env={"COLUMNS": "200"}
    )
    return result.stdout + result.stderr


PAGE = (ROOT / "monitor/README.md").read_text(encoding="utf-8")
FOLDERS = sorted({path.parent for path in (ROOT / "monitor").rglob("*.py")})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_codemap_names_every_file_and_none_that_is_gone(folder: Path) -> None:
    """A package's row has all of its files; a file beside the packages has a row of its own."""
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    named = {cells[1].strip().strip("`"): re.findall(r"`(\w+\.py)`", cells[3]) for cells in rows if len(cells) == 5}
    files = sorted(path.name for path in folder.glob("*.py") if path.name != "__init__.py")
    if folder == ROOT / "monitor":
        assert sorted(name for name in named if name.endswith(".py")) == files
    elif files:
        assert sorted(named[f"{folder.name}/"]) == files


def test_the_floors_drawn_are_those_of_the_import_contract() -> None:
    """The picture of the house and the contract that enforces it are one."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    floors = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    drawn = "".join(f" {floor}\n" for floor in floors)
    assert drawn in re.sub(r" {2,}the core begins here", "", PAGE)
