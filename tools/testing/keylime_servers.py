# SPDX-License-Identifier: GPL-2.0
"""Keylime's registrar, verifier in push mode, and tenant, all unmodified, as long as a test runs."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from contextlib import closing
from pathlib import Path

import attested
import keylime_peer
import tap

HOST = "127.0.0.1"
# What each program needs that runs beside what keylime_peer.python() tries; all of the distribution.
MODULES = {"verifier": "keylime.cmd.verifier", "registrar": "keylime.cmd.registrar", "tenant": "keylime.tenant"}


class Keylime:
    """The three, in a folder of their own. The servers run while this object is entered."""

    def __init__(self, folder, interval=1):
        python = keylime_peer.python()
        self.programs = python.parent
        self.folder = Path(folder)
        self.folder.mkdir(mode=0o700)
        self.processes = {}
        registrar, verifier = attested.port(), attested.port()
        self.ports = {"verifier": verifier, "registrar": registrar, "registrar_tls": registrar + 1}
        self.ca = self.folder / "cv_ca/cacert.crt"
        self.environment = {"PATH": f"{self.programs}:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": str(self.folder), "LC_ALL": "C.UTF-8",
                            "KEYLIME_DIR": str(self.folder), "TMPDIR": str(self.folder), "PYTHONWARNINGS": "ignore"}
        self.configure(interval)
        tried = subprocess.run([python, "-c", "".join(f"import {module};" for module in MODULES.values())], cwd=self.folder,
                               env=self.environment, capture_output=True, text=True, check=False)
        if tried.returncode:
            raise tap.Skip(f"Keylime's programs do not run: {tried.stderr.strip().splitlines()[-1]}; scripts/install-deps "
                           "installs what they need")

    def configure(self, interval):
        """One file a program, with what has no default. The certificates are made by Keylime itself."""
        server = {"ip": HOST, "tls_dir": "generate", "server_key": "default", "server_cert": "default", "server_key_password": "",
                  "trusted_client_ca": "default", "database_url": "sqlite", "auto_migrate_db": "True",
                  "durable_attestation_import": "", "max_workers": 1}
        client = {"client_key": "default", "client_cert": "default", "client_key_password": "", "trusted_server_ca": "default",
                  "enable_agent_mtls": "True", "exponential_backoff": "True", "retry_interval": 1, "max_retries": 3,
                  "request_timeout": 60}
        verifier = {**server, **client, "uuid": "default", "port": self.ports["verifier"], "mode": "push",
                    "quote_interval": interval, "challenge_lifetime": 600, "verification_timeout": 300, "num_workers": 1,
                    "max_upload_size": 104857600, "measured_boot_imports": "[]", "measured_boot_policy_name": "accept-all",
                    "severity_labels": '["info", "notice", "warning", "error", "critical", "alert", "emergency"]',
                    "severity_policy": '[{"event_id": ".*", "severity_label": "emergency"}]', "ignore_tomtou_errors": "False",
                    # all rounds of a test come from one address, and from one agent
                    "session_create_rate_limit_per_ip": 10000, "session_create_rate_limit_per_agent": 10000}
        registrar = {**server, "tls_dir": "default", "port": self.ports["registrar"], "tls_port": self.ports["registrar_tls"],
                     "tpm_identity": "default", "malformed_cert_action": "warn"}
        tenant = {**client, "tls_dir": "default", "verifier_ip": HOST, "verifier_port": self.ports["verifier"],
                  "registrar_ip": HOST, "registrar_port": self.ports["registrar_tls"], "tpm_cert_store": str(self.folder),
                  "accept_tpm_hash_algs": '["sha512", "sha384", "sha256"]', "accept_tpm_encryption_algs": '["ecc", "rsa"]',
                  "accept_tpm_signing_algs": '["ecschnorr", "rsassa", "ecdsa"]', "max_payload_size": 1048576,
                  "require_ek_cert": "False", "ek_check_script": "", "mb_refstate": ""}
        ca = {"password": "default", "cert_country": "US", "cert_ca_name": "Test", "cert_state": "MA", "cert_locality": "Lab",
              "cert_organization": "Test", "cert_org_unit": "1", "cert_ca_lifetime": 30, "cert_lifetime": 30, "cert_bits": 2048,
              "cert_crl_dist": "http://localhost/crl.pem"}
        revocations = {"enabled_revocation_notifications": "[]", "zmq_ip": HOST, "zmq_port": 1, "webhook_url": ""}
        for name, sections in {"verifier": {"verifier": verifier, "revocations": revocations}, "registrar": {"registrar": registrar},
                               "tenant": {"tenant": tenant}, "ca": {"ca": ca}}.items():
            path = self.folder / f"{name}.conf"
            path.write_text("".join(f"[{section}]\nversion = 2.6\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
                                    for section, values in sections.items()), encoding="utf-8")
            self.environment[f"KEYLIME_{name.upper()}_CONFIG"] = str(path)

    def __enter__(self):
        try:
            self.start("verifier")  # makes the certificates of all
            self.start("registrar")
        except Exception:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()

    def start(self, name):
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen([self.programs / f"keylime_{name}"], cwd=self.folder, env=self.environment, stdout=log,
                                       stderr=log, start_new_session=True)
        self.processes[name] = process
        end = time.monotonic() + 120
        while True:
            try:
                socket.create_connection((HOST, self.ports[name])).close()
                return
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"keylime_{name} does not start: {self.log(name)[-2000:]}") from None
                time.sleep(0.1)

    @property
    def verifier(self):
        return f"https://{HOST}:{self.ports['verifier']}"

    @property
    def registrar(self):
        return f"http://{HOST}:{self.ports['registrar']}"

    def log(self, name="verifier"):
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def tenant(self, *arguments):
        """What keylime_tenant says, and how it ends."""
        return subprocess.run([self.programs / "keylime_tenant", *map(str, arguments)], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, check=False, timeout=120)

    def add(self, agent, policy, command="add"):
        """Has the verifier accept an agent, with a runtime policy."""
        path = self.folder / "policy.json"
        path.write_text(json.dumps(policy), encoding="utf-8")
        done = self.tenant("-c", command, "--push-model", "-u", agent, "--runtime-policy", path)
        if done.returncode:
            raise RuntimeError(f"keylime_tenant -c {command}: {done.stderr[-2000:]}")

    def latest(self, agent):
        """The newest attestation of an agent, once it is evaluated."""
        context = ssl.create_default_context(cafile=self.ca)
        context.check_hostname = False
        context.load_cert_chain(self.folder / "cv_ca/client-cert.crt", self.folder / "cv_ca/client-private.pem")
        while True:
            with closing(http.client.HTTPSConnection(HOST, self.ports["verifier"], context=context, timeout=120)) as connection:
                connection.request("GET", f"/v3.0/agents/{agent}/attestations/latest")
                answer = connection.getresponse()
                body = answer.read()
            if answer.status not in (200, 201):  # it has both
                raise RuntimeError(f"the verifier answers {answer.status}: {body[:500]!r}")
            attestation = json.loads(body)["data"]["attributes"]
            if attestation["stage"] != "evaluating_evidence":
                return attestation
            time.sleep(0.1)
