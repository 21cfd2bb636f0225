# SPDX-License-Identifier: GPL-2.0
"""Keylime's own check of a list."""

import json
import subprocess
from pathlib import Path

import pypi

HERE = Path(__file__).resolve().parent / "keylime"
OUR_RECORDS = [".ima/checkpoint", ".ima/truncate", ".ima/config", ".ima/quote"]


def python():
    """The Python that has Keylime. Skips if there is none, and none can be made."""
    return pypi.python(HERE, "keylime.ima.ima")


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
