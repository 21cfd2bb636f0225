# SPDX-License-Identifier: GPL-2.0
"""Python programs of others, at fixed versions, in virtual environments that are kept in the cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import tap

PYTHON = Path("/usr/bin/python3")  # the distribution's, which has what the programs need


def cache():
    """As scripts/lib.sh has it."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("IMA_CHECKPOINT_CACHE") or Path(home) / "ima-checkpoint")


def python(folder, module):
    """The Python that has what folder/requirements.txt names. Skips if it cannot be had, as `module` shows."""
    requirements = folder / "requirements.txt"
    key = hashlib.sha256(requirements.read_bytes() + bytes(PYTHON.resolve())).hexdigest()[:16]
    home = cache() / folder.name / key
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.parent / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            for step in ([PYTHON, "-m", "venv", "--system-site-packages", home],
                         [home / "bin/pip", "install", "--quiet", "--no-deps", "--require-hashes",
                          "--retries", "1", "-r", requirements],
                         [home / "bin/python", "-c", f"import {module}"]):
                done = subprocess.run(step, capture_output=True, text=True, check=False)
                if done.returncode:
                    reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
                    raise tap.Skip(f"no {folder.name}: {reason}")
            (home / "complete").touch()
    return home / "bin/python"
