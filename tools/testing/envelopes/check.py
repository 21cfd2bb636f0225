# SPDX-License-Identifier: GPL-2.0
"""Check an endorsement with securesystemslib and in-toto's own types. Prints the statement as they read it.

Usage: check.py ENVELOPE PUBLIC-KEY"""

import hashlib
import json
import sys

from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format
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
    # in-toto's type of this predicate has one level where the specification has a list, so it is read as it is
    summary = statement["predicate"]
    print(json.dumps({
        "type": envelope.payload_type, "statement": statement, "result": summary["verificationResult"],
        "levels": summary["verifiedLevels"], "verifier": summary["verifier"]["id"], "uri": summary["resourceUri"]}))


main()
