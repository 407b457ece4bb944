"""What ``pyproject.toml`` cannot say: a wheel carries ``config/`` as ``chandlery/defaults``, for `chandlery init`."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithDefaults(build_py):
    """Copies the default configuration beside the modules; an editable install finds it in the checkout."""

    def run(self) -> None:
        """Build the packages, then add the defaults."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "chandlery" / "defaults"
            for file in sorted(path for path in Path("config").rglob("*") if path.is_file()):
                (target / file.relative_to("config")).parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(file), str(target / file.relative_to("config")))


setup(cmdclass={"build_py": BuildWithDefaults})
