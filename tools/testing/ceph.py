# SPDX-License-Identifier: GPL-2.0
"""An S3 server: Ceph's object gateway (radosgw), on a cluster of one monitor and one OSD in memory.

Its packages come from the distribution. They are unpacked into the cache and run from there, so that
nothing is installed and no privilege is needed. Garage, the other S3 server that the package registries
have, was looked at and is not used: it ignores the condition of a PUT and replaces the object, so that
nothing can be kept safe in it, and it takes 525 crates to build."""

import contextlib
import ctypes
import fcntl
import hashlib
import hmac
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import tap
from pypi import PYTHON, cache

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd")
# of what these depend on, what a cluster in memory runs
NEEDED = re.compile(r"^(lib|ceph|rados|python3-)")
FSID = "2d2f4c7e-1f38-4d2c-9d5a-6d2f3d6b2a10"
REGION = "us-east-1"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
START = 180  # seconds; three seconds suffice on a machine that has nothing else to do

CONFIG = """[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon}]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms mon client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
run dir = {work}
admin socket =
pid file = {work}/$name.pid
log file = {work}/$name.log
crash dir = {work}/crash
plugin dir = {lib}/ceph
erasure code dir = {lib}/ceph/erasure-code
osd class dir = {lib}/rados-classes
mon data = {work}/mon
mon cluster log file = {work}/cluster.log
mon allow pool size one = true
mon data avail crit = 0
osd data = {work}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pgp num = 2
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
[client.rgw]
rgw data = {work}/rgw
rgw frontends = beast endpoint=127.0.0.1:{rgw}
"""


def lines(*command):
    """What a program prints. Skips if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    except OSError as error:
        raise tap.Skip(f"no radosgw: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip() or "it failed").splitlines()[-1]
        raise tap.Skip(f"no radosgw: {command[0]}: {reason}")
    return done.stdout.splitlines()


def unpacked():
    """The directory with Ceph's programs. Skips if there are none, and none can be had."""
    offers = [line.split() for line in lines("apt-get", "install", "--simulate", "--no-install-recommends",
                                             "--reinstall", *PACKAGES) if line.startswith("Inst ")]
    names = sorted(words[1] for words in offers if NEEDED.match(words[1]))
    key = hashlib.sha256(" ".join(map(" ".join, sorted(offers))).encode()).hexdigest()[:16]
    home = cache() / "ceph" / key
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.parent / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            packages = home / "packages"
            packages.mkdir(parents=True)
            with contextlib.chdir(packages):
                lines("apt-get", "--quiet", "download", *names)
            for package in packages.iterdir():
                lines("dpkg", "-x", str(package), str(home))
            shutil.rmtree(packages)
            (home / "complete").touch()
    return home


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def die_with_parent():
    """Called in a new process: nothing is left of a case that is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Gateway:
    """The server, while the context lasts."""

    def __init__(self, work):
        self.work = Path(work)
        home = unpacked()
        [library] = sorted((home / "usr/lib").glob("*-linux-gnu"))
        libraries = [library, library / "ceph", home / "lib" / library.name]
        self.programs = home / "usr/bin"
        mon, self.port = free_ports(2)
        config = self.work / "ceph.conf"
        for name in ("mon", "osd", "rgw", "crash"):
            (self.work / name).mkdir()
        config.write_text(CONFIG.format(fsid=FSID, mon=mon, rgw=self.port, work=self.work, lib=library),
                          encoding="ascii")
        self.environment = {
            "PATH": "/usr/bin:/bin", "LC_ALL": "C", "CEPH_CONF": str(config),
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "PYTHONPATH": str(home / "usr/lib/python3/dist-packages"),
        }
        self.mon, self.daemons = mon, []
        self.key, self.secret = "key", "a secret"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def run(self, program, *words):
        done = subprocess.run([self.programs / program, *words], env=self.environment, capture_output=True,
                              text=True, check=False, timeout=START)
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr[-1500:]}")

    def daemon(self, program, *words):
        out = open(self.work / f"{program}.out", "wb")  # closed with the process that has it
        self.daemons.append(subprocess.Popen([self.programs / program, *words, "-f"], env=self.environment,
                                             stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                             preexec_fn=die_with_parent))
        out.close()

    def start(self):
        monmap = str(self.work / "monmap")
        self.run("monmaptool", "--create", "--fsid", FSID, "--addv", "a", f"[v2:127.0.0.1:{self.mon}]", monmap)
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self.daemon("ceph-mon", "-i", "a")
        done = subprocess.run([PYTHON, self.programs / "ceph", "--connect-timeout", str(START), "osd", "create"],
                              env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ceph osd create: {done.stderr[-1500:]}")
        self.run("ceph-osd", "-i", "0", "--mkfs", "--mkkey")
        self.daemon("ceph-osd", "-i", "0")
        self.run("radosgw-admin", "user", "create", "--uid=tester", "--display-name=tester",
                 f"--access-key={self.key}", f"--secret-key={self.secret}")
        self.daemon("radosgw", "-n", "client.rgw")
        end = time.monotonic() + START
        while True:
            try:
                urllib.request.urlopen(self.endpoint, timeout=10).close()
                return
            except OSError as error:
                ended = [daemon.args[0].name for daemon in self.daemons if daemon.poll() is not None]
                if ended or time.monotonic() > end:
                    raise RuntimeError(f"the gateway does not answer: {error}; ended: {ended}") from error
                time.sleep(0.2)

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGKILL)  # there is nothing to keep
            daemon.wait()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def variables(self):
        """What a program needs in its environment."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": REGION,
                "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}

    def ask(self, method, path, body=b"", query="", **headers):
        """The status and the body of an answer. Written from AWS's description of signature version 4."""
        now = datetime.now(timezone.utc)
        date, stamp = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
        path = urllib.parse.quote(path)
        sum_of_body = hashlib.sha256(body).hexdigest()
        signed = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": sum_of_body, "x-amz-date": stamp}
        names = ";".join(signed)
        canonical = "\n".join([method, path, query, *(f"{name}:{value}" for name, value in signed.items()), "",
                               names, sum_of_body])
        scope = f"{date}/{REGION}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers |= signed | {"Authorization": f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, "
                                              f"SignedHeaders={names}, Signature={signature}"}
        url = f"{self.endpoint}{path}" + (f"?{query}" if query else "")
        request = urllib.request.Request(url, data=body or None, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def names(self, bucket):
        """The objects of a bucket, which are few."""
        status, body = self.ask("GET", f"/{bucket}", query="list-type=2")
        if status != 200:
            raise RuntimeError(f"{status}: {body!r}")
        return re.findall("<Key>([^<]*)</Key>", body.decode())
