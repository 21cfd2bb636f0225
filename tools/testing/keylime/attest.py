# SPDX-License-Identifier: GPL-2.0
"""Let Keylime check measurement lists, as its verifier does. Needs a Python that has Keylime.

Standard input is JSON: `algorithm` of the quotes, `policy` or null, `seed` (the PCR that the
verifier starts from) or null, and `quotes`, each with the `pcr` and the ASCII `list` of that
moment. Each is served from the entry that the verifier asks for. For each, what it made of it
goes to standard output: the PCR, the events that fail the agent, and the next entry.
"""

import json
import sys

from keylime.agentstates import AgentAttestState
from keylime.common.algorithms import Hash
from keylime.ima import ima

IMA_PCR = 10


def attest(state, quote, policy, algorithm):
    entry = state.get_next_ima_ml_entry()
    lines = quote["list"].split("\n")[entry:]
    pcr, failure = ima.process_measurement_list(state, lines, policy, pcrval=quote["pcr"],
                                                ima_keyrings=state.get_ima_keyrings(),
                                                hash_alg=Hash(algorithm))
    return {"asked": entry, "pcr": pcr, "next": state.get_next_ima_ml_entry(),
            "events": sorted({event.event_id for event in failure.events})}


def main():
    job = json.load(sys.stdin)
    state = AgentAttestState("host")
    if job["seed"]:
        state.set_ima_pcrs({IMA_PCR: bytes.fromhex(job["seed"])})
    if job["policy"]:
        ima.validate_runtime_policy(job["policy"])
    answers = [attest(state, quote, job["policy"], job["algorithm"]) for quote in job["quotes"]]
    json.dump(answers, sys.stdout)


main()
