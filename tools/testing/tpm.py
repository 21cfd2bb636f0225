# SPDX-License-Identifier: GPL-2.0
"""A software TPM of its own, and tpm2-tools that talk to it."""

import os
import subprocess
import tempfile
import time
from pathlib import Path


class Tpm:
    """swtpm, as long as this object is entered; `path` is for the tools' files."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tpm-")
        self.path = Path(self.directory.name)
        (self.path / "state").mkdir()
        self.environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={self.path / 'socket'}", "TSS2_LOG": "all+none"}
        self.start()
        return self

    def start(self):
        socket = self.path / "socket"
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "swtpm", "socket", "--tpm2", "--flags", "not-need-init,startup-clear",
             "--tpmstate", f"dir={self.path / 'state'}", "--server", f"type=unixio,path={socket}",
             "--ctrl", f"type=unixio,path={socket}.ctrl"], stderr=subprocess.DEVNULL)
        while not (socket.exists() and Path(f"{socket}.ctrl").exists()):
            if self.process.poll() is not None:
                raise RuntimeError(f"swtpm ended with {self.process.returncode}")
            time.sleep(0.01)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def restart(self):
        """Switches it off and on: its PCRs are zero again."""
        self.stop()
        for name in ("socket", "socket.ctrl"):
            (self.path / name).unlink(missing_ok=True)
        self.start()

    def __exit__(self, *_):
        self.stop()
        self.directory.cleanup()

    def run(self, tool, *arguments):
        """What tpm2_TOOL prints. Nothing that it loaded stays in the TPM, which has little room."""
        done = subprocess.run([f"tpm2_{tool}", *arguments], cwd=self.path, env=self.environment,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"tpm2_{tool} {' '.join(arguments)}: {done.stderr}")
        if tool != "flushcontext":
            self.run("flushcontext", "-t")
        return done.stdout

    def read(self, name):
        return (self.path / name).read_bytes()

    def key(self, name, kind, scheme, digest):
        """An attestation key: its context is NAME.ctx, its public part NAME.pub and NAME.pem."""
        if not (self.path / "ek.ctx").exists():
            self.run("createek", "-G", "rsa", "-c", "ek.ctx", "-u", "ek.pub")
        self.run("createak", "-C", "ek.ctx", "-c", f"{name}.ctx", "-G", kind, "-g", digest, "-s", scheme,
                 "-u", f"{name}.pub", "-n", f"{name}.name")
        self.run("readpublic", "-c", f"{name}.ctx", "-f", "pem", "-o", f"{name}.pem")

    def quote(self, key, name, pcrs, nonce, digest="sha256", *options):
        """Makes NAME.msg and NAME.sig."""
        qualify = ["-q", nonce] if nonce else []
        self.run("quote", "-c", f"{key}.ctx", "-l", pcrs, "-g", digest, "-m", f"{name}.msg", "-s", f"{name}.sig",
                 *qualify, *options)

    def extend(self, pcr, **digests):
        """Extends a PCR with one digest, of bytes, a bank."""
        values = ",".join(f"{bank}={value.hex()}" for bank, value in digests.items())
        self.run("pcrextend", f"{pcr}:{values}")
