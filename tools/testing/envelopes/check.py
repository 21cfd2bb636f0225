# SPDX-License-Identifier: GPL-2.0
"""Check an endorsement with securesystemslib and in-toto's own types. Prints the statement as they read it.

Usage: check.py ENVELOPE PUBLIC-KEY"""

import hashlib
import json
import sys

from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey


def main():
    with open(sys.argv[1], "rb") as file:
        envelope = Envelope.from_dict(json.load(file))
    with open(sys.argv[2], "rb") as file:
        public = serialization.load_pem_public_key(file.read())
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = SSlibKey.from_crypto(public, keyid=hashlib.sha256(der).hexdigest())
    envelope.verify([key], 1)
    statement = json.loads(envelope.payload)
    Statement.copy_from_pb(json_format.ParseDict(statement, statement_pb2.Statement())).validate()
    summary = json_format.ParseDict(statement["predicate"], vsa_pb2.VerificationSummary(), ignore_unknown_fields=True)
    print(json.dumps({
        "type": envelope.payload_type, "statement": statement, "result": summary.verification_result,
        "levels": list(summary.verified_levels), "verifier": summary.verifier.id, "uri": summary.resource_uri,
        "time": summary.time_verified.ToJsonString()}))


main()
