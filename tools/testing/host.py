# SPDX-License-Identifier: GPL-2.0
"""The tool, and a host that used it over some days and left what others can verify."""

import subprocess
import tempfile

import guest


def tool():
    """The path of the tool on this machine."""
    done = subprocess.run([guest.RUN_GUEST.parent / "build-tool"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def run():
    """One run of the host of peers.sh, its archive on a disk of its own."""
    guest.need("mke2fs")
    with tempfile.NamedTemporaryFile(prefix="ima-checkpoint-disk-") as disk:
        disk.truncate(64 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", disk.name], check=True)
        return guest.Run("peers.sh", "--drive", disk.name, timeout=300)
