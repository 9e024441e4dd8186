"""A client made from the specification, by schemathesis: whatever it sends, no answer is a server's error, and each is as published.

Cases per operation and seed are set by COFFER_SCHEMATHESIS_CASES and COFFER_SCHEMATHESIS_SEED; both are printed.
"""

import json
import os
import random
import shutil
import tempfile
import unittest
from pathlib import Path

import harness  # first: it says where the quickstart's modules are
import bodies
import hypothesis
import requests
import schemathesis
from hypothesis import strategies
from rest import RESOURCES
from specification import FILE, Specification

CASES = int(os.environ.get("COFFER_SCHEMATHESIS_CASES", "30"))
SEED = int(os.environ.get("COFFER_SCHEMATHESIS_SEED", random.randrange(2**32)))
# Longest time for one answer.
LIMIT = 30
# Of so many requests, one is about what has a made-up name.
STRANGE_NAMES = 5

LOCATION = "westus"
# What is there; a name in a path is one of these, but for the strange ones.
NAMES = {
    "resourceGroupName": "properties",
    "vaultName": "vault",
    "backupPolicyName": "weekly",
    "backupInstanceName": "instance",
    "resourceGuardsName": "guard",
    "resourceGuardName": "guard",
    "resourceGuardProxyName": "DppResourceGuardProxy",
    "requestName": "default",
    "location": LOCATION,
}


@unittest.skipUnless(FILE.is_file(), f"no specification at {FILE}")
class Properties(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="coffer-properties-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.coffer = harness.CofferServer(
            harness.BINARY, cls.directory / "data", log_path=cls.directory / "serve.log"
        )
        cls.addClassCleanup(cls.coffer.stop)
        cls.env = cls.coffer.start()
        cls.client = harness.Client(cls.env)
        cls.addClassCleanup(cls.client.close)
        cls.group = f"/subscriptions/{cls.env['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{NAMES['resourceGroupName']}"
        cls.client.put(cls.group, {"location": LOCATION}, api_version=RESOURCES)
        cls.session = requests.Session()
        cls.addClassCleanup(cls.session.close)

    def provide(self):
        """What the names of paths are of; an operation before may have deleted it."""
        provider = f"{self.group}/providers/Microsoft.DataProtection"
        vault = f"{provider}/backupVaults/{NAMES['vaultName']}"
        self.client.wait(self.client.put(vault, bodies.vault(LOCATION)), "make the vault")
        self.client.put(f"{vault}/backupPolicies/{NAMES['backupPolicyName']}", bodies.policy())
        guard = f"{provider}/resourceGuards/{NAMES['resourceGuardsName']}"
        self.client.put(guard, {"location": LOCATION}, api_version="2024-04-01")

    def aim(self, case, strange):
        case.path_parameters["subscriptionId"] = self.env["AZURE_SUBSCRIPTION_ID"]
        for name in case.path_parameters.keys() & NAMES.keys():
            if not strange:
                case.path_parameters[name] = NAMES[name]
        if not strange and "api-version" in case.query:
            case.query["api-version"] = "2024-04-01"

    def test_no_answer_is_an_error_of_the_server_or_against_the_specification(self):
        published = Specification()
        schema = schemathesis.openapi.from_dict(json.loads(FILE.read_text()))
        schema.config.update(base_url=self.env["COFFER_ENDPOINT"])
        statuses, cases, failed = {}, 0, []
        for result in schema.get_all_operations():
            operation = result.ok()

            @hypothesis.seed(SEED)
            @hypothesis.settings(
                max_examples=CASES,
                deadline=None,
                database=None,
                phases=[hypothesis.Phase.generate],
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy(), strange=strategies.integers(1, STRANGE_NAMES))
            def every_answer(case, strange):
                nonlocal cases
                self.aim(case, strange == STRANGE_NAMES)
                headers = {"Authorization": f"Bearer {self.client.token()}"}
                answer = case.call(session=self.session, headers=headers, timeout=LIMIT, verify=self.env["COFFER_CA_FILE"])
                cases += 1
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                assert answer.status_code < 500, f"{answer.status_code}: {answer.text}"
                body = json.loads(answer.text) if answer.text else None
                found = list(published.differences(case.method.upper(), answer.request.url, answer.status_code, body))
                assert not found, "\n".join(found)

            self.provide()
            try:
                every_answer()
            except Exception as error:
                failed.append(f"{operation.label}: {error}\n" + "\n".join(getattr(error, "__notes__", [])))
        counts = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
        print(f"\nschemathesis: {cases} cases (seed {SEED}): {counts}", flush=True)
        self.assertEqual(failed, [], f"seed {SEED}\n" + "\n\n".join(failed))
        self.assertIsNone(self.coffer.process.poll(), "the server has ended")


if __name__ == "__main__":
    unittest.main()
