# SPDX-License-Identifier: GPL-2.0
"""A host with a software TPM and a list that the tests write, its agent, and a monitor."""

import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from pathlib import Path

import guest
import tap

ROOT = Path(__file__).resolve().parents[2]
BANKS = ("sha1", "sha256")
PCR = 10
# what one address may take of the monitor in a test
CONNECTIONS, REQUESTS = 20, 800


def programs(*more):
    """The folder with the programs, without optimisation: `cargo test` has built most of them."""
    guest.need("swtpm", "tpm2_pcrextend", "pkg-config")
    if subprocess.run(["pkg-config", "--exists", "tss2-sys"], check=False).returncode:
        raise tap.Skip("libtss2-dev is not installed; scripts/install-deps does that")
    script = f'. "{ROOT}/scripts/lib.sh"; for crate in ima-attest "$@"; do ' \
             'cd "$root/tools/$crate"; cargo_here build --quiet >&2; done; echo "$cache/target/debug"'
    done = subprocess.run(["bash", "-c", script, "attested", *more], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def port():
    """Two ports next to each other that nobody uses; the TPM has the second for its control channel."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            number = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", number + 1))
            except OSError:
                continue
            return number


def record(name, digest, template="ima-ng", violation=False, buffer=None):
    """A record of the sha1 view, and what is extended in each bank."""
    fields = [b"sha256:\0" + digest, name.encode() + b"\0"]
    if buffer is not None:
        template = "ima-buf"
        fields.append(buffer)
    data = b"".join(struct.pack("<I", len(part)) + part for part in fields)
    shown = bytes(20) if violation else hashlib.sha1(data).digest()
    kind = template.encode()
    raw = struct.pack("<I", PCR) + shown + struct.pack("<I", len(kind)) + kind + struct.pack("<I", len(data)) + data
    extended = {bank: b"\xff" * hashlib.new(bank).digest_size if violation else hashlib.new(bank, data).digest()
                for bank in BANKS}
    return raw, extended


class Host:
    """A host: its TPM runs as long as this object is entered."""

    def __init__(self, folder, binaries):
        self.folder, self.binaries = Path(folder), binaries
        self.list = self.folder / "list"
        self.tpm = None
        self.wrapper = []  # what the agent is started with
        self.port = port()
        self.tcti = f"swtpm:host=127.0.0.1,port={self.port}"
        (self.folder / "tpm").mkdir(parents=True)

    def __enter__(self):
        self.boot()
        return self

    def __exit__(self, *_):
        self.off()

    def off(self):
        if self.tpm:
            self.tpm.kill()
            self.tpm.wait()
            self.tpm = None

    def reset(self):
        """Resets the TPM, as switching the host off and on does."""
        self.off()
        self.tpm = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "swtpm", "socket", "--tpm2", "--flags", "not-need-init,startup-clear",
             "--tpmstate", f"dir={self.folder / 'tpm'}", "--server", f"type=tcp,port={self.port}",
             "--ctrl", f"type=tcp,port={self.port + 1}"], stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port + 1)).close()
                break
            except OSError:
                if self.tpm.poll() is not None:
                    raise RuntimeError(f"swtpm ended with {self.tpm.returncode}") from None
                time.sleep(0.02)
        # killed before its first command, it would not have counted this reset
        self.command("tpm2_readclock")

    def command(self, *words):
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, "TPM2TOOLS_TCTI": self.tcti})

    def boot(self):
        """A new log, which starts with the hash of the PCRs 0 to 9."""
        self.reset()
        self.list.write_bytes(b"")
        self.measure("boot_aggregate", hashlib.sha256(bytes(32 * 10)).digest())

    def extend(self, extended):
        """What root can do beside the list, too."""
        values = ",".join(f"{bank}={value.hex()}" for bank, value in extended.items())
        self.command("tpm2_pcrextend", f"10:{values}")

    def measure(self, name, digest, **how):
        raw, extended = record(name, digest, **how)
        self.extend(extended)
        with open(self.list, "ab") as out:
            out.write(raw)

    def file(self, name):
        """Measures a file whose digest is that of its name."""
        self.measure(name, hashlib.sha256(name.encode()).digest())

    def agent(self, *arguments, state="agent", wait=True):
        command = [*self.wrapper, self.binaries / "ima-attest", *map(str, arguments), "--tcti", self.tcti,
                   "--state", self.folder / state]
        if not wait:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def init(self, monitor, *options, **how):
        """Registers. Gives the name and the key's Name that the program prints."""
        done = self.agent("init", "--server", monitor.url, "--ca", monitor.ca, *options, **how)
        if done.returncode:
            raise RuntimeError(f"ima-attest init: {done.stderr}")
        return done.stdout.split()

    def attest(self, monitor, *options, **how):
        """One round; waits first as long as the monitor does not want one yet."""
        while True:
            done = self.agent("run", "--once", "--server", monitor.url, "--ca", monitor.ca, "--list", self.list,
                              *options, **how)
            if "status 429" not in done.stderr:
                return done
            time.sleep(0.3)

    def snapshot(self):
        """The state of a virtual machine, without its log."""
        shutil.copytree(self.folder / "tpm", self.folder / "snapshot")

    def restore(self):
        self.off()
        shutil.rmtree(self.folder / "tpm")
        shutil.copytree(self.folder / "snapshot", self.folder / "tpm")


class Monitor:
    """A monitor with a policy and an action, which notes what it was told. Runs while it is entered."""

    def __init__(self, folder, binaries, allowed, interval="2s"):
        self.folder, self.binary = Path(folder), binaries / "ima-monitor"
        self.folder.mkdir()
        self.told = self.folder / "told"
        self.ca = self.folder / "state/cert.pem"
        self.process = self.url = None
        self.port, self.metrics_port = port(), port()
        (self.folder / "policy").write_text("".join(
            f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in allowed), encoding="utf-8")
        kinds = ["file", "violation", "buffer", "evidence", "quote", "mismatch", "gap", "went-back", "fork",
                 "other-key", "reset-without-new-log", "reset-jump", "log"]
        self.config = self.folder / "config"
        self.config.write_text(
            f"listen = '127.0.0.1:{self.port}'\nstate = '{self.folder / 'state'}'\ninterval = '{interval}'\n"
            f"metrics = '127.0.0.1:{self.metrics_port}'\n"
            f"max_upload = 8\nmax_connections_of_one = {CONNECTIONS}\nmax_requests_of_one = {REQUESTS}\n"
            f"[[policy]]\nsha256sums = '{self.folder / 'policy'}'\n"
            f"[[action]]\nname = 'note'\nprogram = ['/bin/sh', '-c', 'read -r line && echo \"$line\" >>\"$0\"', '{self.told}']\n"
            f"kinds = {json.dumps(kinds)}\n", encoding="utf-8")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", self.binary, "--config", self.config, "serve"],
                                        stderr=log)
        log.close()
        self.url = f"https://127.0.0.1:{self.port}"
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"ima-monitor ended: {self.log()}") from None
                time.sleep(0.02)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def run(self, *arguments):
        return subprocess.run([self.binary, "--config", self.config, *map(str, arguments)], capture_output=True,
                              text=True, check=False, timeout=60)

    def findings(self):
        """Those that are open, without the silence of a host that a test has forgotten."""
        done = self.run("findings", "--json")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return [one for one in found if one["kind"] != "silent"]

    def kinds(self):
        return sorted(one["kind"] for one in self.findings())

    def metrics(self):
        """What Prometheus is told, by name and label."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}

    def records(self, host):
        """How many records of a host are proven."""
        for line in self.run("hosts").stdout.splitlines():
            if line.startswith(f"{host} "):
                found = re.search(r"; (\d+) records proven", line)
                return int(found[1]) if found else None
        return None

    def acknowledge(self):
        """All of them, the silent ones too."""
        done = self.run("findings", "--json")
        found = [json.loads(line)["id"] for line in done.stdout.splitlines()]
        if found:
            self.run("ack", *found)

    def acted(self, count, timeout=40):
        """What the action was told, once there are so many."""
        end = time.monotonic() + timeout
        while True:
            lines = self.told.read_text(encoding="utf-8").splitlines() if self.told.exists() else []
            if len(lines) >= count or time.monotonic() > end:
                return [json.loads(line) for line in lines]
            time.sleep(0.1)
