# SPDX-License-Identifier: GPL-2.0
"""Keylime's own check of a list, in a virtual environment kept in the cache."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import tap

PYTHON = Path("/usr/bin/python3")  # the distribution's, which has what Keylime needs
HERE = Path(__file__).resolve().parent / "keylime"
OUR_RECORDS = [".ima/checkpoint", ".ima/truncate", ".ima/config", ".ima/quote"]


def cache():
    """As scripts/lib.sh has it."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("IMA_CHECKPOINT_CACHE") or Path(home) / "ima-checkpoint")


def python():
    """The Python that has Keylime. Skips if there is none, and none can be made."""
    requirements = HERE / "requirements.txt"
    key = hashlib.sha256(requirements.read_bytes() + bytes(PYTHON.resolve())).hexdigest()[:16]
    home = cache() / "keylime" / key
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.parent / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            for step in ([PYTHON, "-m", "venv", "--system-site-packages", home],
                         [home / "bin/pip", "install", "--quiet", "--no-deps", "--require-hashes",
                          "--retries", "1", "-r", requirements],
                         [home / "bin/python", "-c", "import keylime.ima.ima"]):
                done = subprocess.run(step, capture_output=True, text=True, check=False)
                if done.returncode:
                    reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
                    raise tap.Skip(f"no Keylime: {reason}")
            (home / "complete").touch()
    return home / "bin/python"


def policy(digests, ours_excluded=True):
    """A runtime policy: these files (path -> SHA-256), and the records that are ours."""
    return {
        "meta": {"version": 1, "generator": 2}, "release": 0,
        "digests": {path: [digest] for path, digest in digests.items()},
        "excludes": [f"^{name.replace('.', chr(92) + '.')}$" for name in OUR_RECORDS] if ours_excluded else [],
        "keyrings": {}, "ima-buf": {}, "verification-keys": "",
        "ima": {"ignored_keyrings": OUR_RECORDS if ours_excluded else [], "log_hash_alg": "sha1",
                "dm_policy": None},
    }


def attest(interpreter, *quotes, algorithm="sha1", rules=None, seed=None):
    """What Keylime's verifier says to quotes one after another, each (ASCII list, PCR)."""
    job = {"algorithm": algorithm, "policy": rules, "seed": seed and seed.hex(),
           "quotes": [{"list": text, "pcr": pcr.hex()} for text, pcr in quotes]}
    done = subprocess.run([interpreter, HERE / "attest.py"], input=json.dumps(job), text=True,
                          capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Keylime ended with {done.returncode}: {done.stderr[-1500:]}")
    return json.loads(done.stdout)
