"""Environments of their own that see the installed packages of this one, but neither this project nor its tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def make_environment(folder: Path) -> Path:
    """Make a virtual environment that sees the installed packages of this one, and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    show = "import sysconfig; print(sysconfig.get_path('purelib'))"
    here = subprocess.run([str(python), "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    # Folders in a .pth file are searched, but their own .pth files, such as that of an editable install, are not read.
    seen = [place for place in sys.path if Path(place).name in {"site-packages", "dist-packages", "sp"}]
    Path(here, "dependencies.pth").write_text("".join(f"{place}\n" for place in seen))
    return python
