"""The shell completes commands, as README.md shows it: the script of ``--show-completion`` does so in a real shell."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chandlery

CHANDLERY = Path(sys.executable).with_name("chandlery")


def run_in_bash(script: str) -> str:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    path = f"PATH={shlex.quote(str(CHANDLERY.parent))}:$PATH\n"
    done = subprocess.run(
        [bash, "--norc", "-c", f"{path}{script}\nexit $?"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.slow
def test_bash_completes_commands() -> None:
    complete = "_chandlery_completion chandlery; echo ${COMPREPLY[@]}"
    shown = run_in_bash(
        f"""eval "$(chandlery --show-completion bash)"
        COMP_WORDS=(chandlery qu) COMP_CWORD=1; {complete}
        COMP_WORDS=(chandlery quarantine rel) COMP_CWORD=2; {complete}"""
    )
    commands, subcommands = (line.split() for line in shown.splitlines())
    assert set(commands) == {"quarantine", "query"}
    assert subcommands == ["release"]


def test_the_command_shows_its_version() -> None:
    assert run_in_bash("chandlery --version") == f"chandlery {chandlery.__version__}\n"
