# SPDX-License-Identifier: GPL-2.0
"""What somebody signs who has verified a list, and what others make of it."""

import hashlib
import json
import subprocess
from pathlib import Path

import host
import imalog
import pypi

ENVELOPES = Path(__file__).resolve().parent / "envelopes"
KINDS = {"ed25519": ["-algorithm", "ed25519"], "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}


def tool(*arguments):
    """The program's exit code, JSON or text, and what it says."""
    done = subprocess.run([host.tool(), *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def make_keys(folder):
    """A pair for each kind of key."""
    for kind, options in KINDS.items():
        subprocess.run(["openssl", "genpkey", *options, "-out", folder / f"{kind}.pem"], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", folder / f"{kind}.pem", "-pubout", "-out", folder / f"{kind}.pub"],
                       check=True)


def verify(*arguments):
    status, out, said = tool("verify", *arguments, "--json")
    return status, json.loads(out) if out else {}, said


def segments(data):
    """The segments of a list before its last checkpoint: number -> bytes."""
    records = imalog.parse(data)
    starts = [(0, 0)] + [(imalog.checkpoint_of(one).seq, one.offset) for one in records if imalog.checkpoint_of(one)]
    ends = starts[1:]
    return {seq: data[start:end] for (seq, start), (_, end) in zip(starts, ends)}


def check(test, folder, data, checkpoint, anchor):
    """Endorses a list that `anchor` (options) proves, whose newest checkpoint that is proven is this one, and shows it around."""
    make_keys(folder)
    whole, tail = folder / "endorsed.list", folder / "endorsed.tail"
    whole.write_bytes(data)
    sealed = segments(data)
    start = sum(len(one) for seq, one in sealed.items() if seq < checkpoint.seq)
    tail.write_bytes(data[start:])
    test.equal(verify(tail, *anchor)[0], 5, "the rest of the list alone is not enough")
    for kind in KINDS:
        envelope = folder / f"{kind}.endorsement"
        trust = ["--endorsement", envelope, "--endorser", folder / f"{kind}.pub"]
        status, _, said = tool("endorse", whole, *anchor, "--signing-key", folder / f"{kind}.pem", "-o", envelope,
                               "--verifier-id", "https://example.org/auditor")
        test.check(status == 0 and f"endorsed checkpoint {checkpoint.seq} " in said, f"{kind}: endorse", status, said)
        peers(test, folder, kind, envelope, sealed, checkpoint)
        status, report, said = verify(tail, *anchor, *trust)
        test.check(status == 0, f"{kind}: the rest is verified with it", report.get("findings"), said)
        test.equal([one["checkpoint"] for one in report["endorsements"]], [str(checkpoint.seq)], f"{kind}: and says so")
        test.equal(tool("verify", tail, *anchor, *trust)[1].splitlines()[0].split("; ")[1][:65],
                   f"complete from checkpoint {checkpoint.seq}, as endorsed by https://example.org/auditor"[:65],
                   f"{kind}: the headline says by whom")
        other = next(one for one in KINDS if one != kind)
        status, report, _ = verify(tail, *anchor, *trust[:-1], folder / f"{other}.pub")
        test.equal((status, "endorsement-unused" in [one["kind"] for one in report["findings"]]), (5, True),
                   f"{kind}: it does not count for who believes another")
        revoked = folder / "revoked"
        revoked.write_text(f"# changed our mind\n{report_id(envelope)}  {envelope.name}\n", encoding="ascii")
        test.equal(verify(tail, *anchor, *trust, "--revoked", revoked)[0], 5, f"{kind}: revoked")
        test.equal(verify(tail, *anchor, *trust, "--not-before", "2999-01-01")[0], 5, f"{kind}: too old")
    spoilt = folder / "spoilt"
    spoilt.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    status, _, said = tool("endorse", spoilt, *anchor, "--signing-key", folder / "p256.pem", "-o", folder / "none")
    test.check(status == 1 and "not verified" in said and not (folder / "none").exists(),
               "a list that does not verify is not endorsed", status, said)


def report_id(envelope):
    """The ID of an endorsement: SHA-256 of what was signed."""
    done = subprocess.run(["openssl", "base64", "-d", "-A"], check=True, capture_output=True,
                          input=json.loads(envelope.read_text())["payload"].encode())
    return hashlib.sha256(done.stdout).hexdigest()


def peers(test, folder, kind, envelope, sealed, checkpoint):
    """What securesystemslib and in-toto say of it."""
    python = pypi.python(ENVELOPES, "securesystemslib.dsse, in_toto_attestation")

    def seen(key):
        done = subprocess.run([python, ENVELOPES / "check.py", envelope, folder / f"{key}.pub"], capture_output=True,
                              text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr.splitlines()[-1]

    told = seen(kind)
    if not test.check(isinstance(told, dict), f"{kind}: securesystemslib and in-toto take it", told):
        return
    test.check("signature" in str(seen(next(one for one in KINDS if one != kind))).lower(),
               f"{kind}: and not with another key")
    log_id = checkpoint.log_id.hex()
    subjects = {one["name"]: one["digest"]["sha256"] for one in told["statement"]["subject"]}
    wanted = {f"ima-checkpoint:{log_id}/segment/{seq}": hashlib.sha256(one).hexdigest()
              for seq, one in sealed.items() if seq < checkpoint.seq}
    wanted[f"ima-checkpoint:{log_id}/checkpoint/{checkpoint.seq}"] = checkpoint.digest.hex()
    test.equal(subjects, wanted, f"{kind}: its subjects are the checkpoint and the segments before it")
    test.equal((told["result"], told["levels"], told["verifier"], told["uri"]),
               ("PASSED", ["IMA_CHECKPOINT_LOG_VERIFIED"], "https://example.org/auditor", f"ima-checkpoint:{log_id}"),
               f"{kind}: it is a verification summary")
    own = told["statement"]["predicate"]["imaCheckpoint"]
    values = {(one["bank"], one["pcr"]): one["value"] for one in own["pcrs"]}
    strong = {key: value.hex() for key, (_, value) in checkpoint.values.items() if key[0] != "sha1"}
    test.equal(values, strong, f"{kind}: and says what the TPM held")
