"""What holds answers against the specification finds what is wrong, and nothing wrong in the specification's own examples.

The other tests' answers are all checked by it on the way.
"""

import json
import unittest

from specification import FILE, Specification

# Answers of examples that the specification's own lists of values forbid.
FORBIDDEN = {'"Enabled" is not one of "Off", "On" or "AlwaysOn"', '"NotProtected" is not one of "ConfiguringProtection"'}
FORBIDDEN_ANSWERS = 14

VAULTS = "/subscriptions/s/providers/Microsoft.DataProtection/backupVaults"


@unittest.skipUnless(FILE.is_file(), f"no specification at {FILE}")
class Published(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.specification = Specification()

    def found(self, *answer):
        return list(self.specification.differences(*answer))

    def test_wrong_answers_are_found(self):
        properties = {"storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}]}
        vault = {"location": "westus", "properties": properties}
        self.assertEqual(self.found("GET", VAULTS, 200, {"value": [vault]}), [])
        self.assertEqual(self.found("GET", f"/{VAULTS}?api-version=2024-04-01", 200, {"value": [vault]}), [])
        for wrong, said in (
            ({**vault, "Location": "westus"}, "'Location' was unexpected"),
            ({"location": "westus"}, '"properties" is a required property'),
            ({**vault, "location": 1}, 'not of type "string"'),
            ({**vault, "properties": {"storageSettings": [{"type": "Zone"}]}}, '"Zone" is not one of'),
        ):
            [line] = self.found("GET", VAULTS, 200, {"value": [wrong]})
            self.assertIn(said, line)
        self.assertIn("status 201 is not one of", self.found("GET", VAULTS, 201, {"value": []})[0])

    def test_a_variant_is_checked_as_what_it_says_it_is(self):
        path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v/backupPolicies/p"
        rule = {"objectType": "AzureRetentionRule", "name": "Default", "lifecycles": []}
        policy = {"properties": {"objectType": "BackupPolicy", "datasourceTypes": ["x"], "policyRules": [rule]}}
        self.assertEqual(self.found("GET", path, 200, policy), [])
        rule["dataStore"] = {}
        self.assertIn("'dataStore' was unexpected", self.found("GET", path, 200, policy)[0])

    def test_published_answers_are_as_published(self):
        examples = FILE.parent / "examples"
        answers, forbidden = 0, 0
        for path, methods in self.specification.document["paths"].items():
            for method, operation in methods.items():
                for example in operation.get("x-ms-examples", {}).values():
                    published = json.loads((examples / example["$ref"].split("/examples/")[1]).read_text())
                    for status, answer in published["responses"].items():
                        found = self.found(method.upper(), path, int(status), answer.get("body"))
                        answers += 1
                        forbidden += bool(found)
                        unexpected = [line for line in found if not any(said in line for said in FORBIDDEN)]
                        self.assertEqual(unexpected, [], example["$ref"])
        self.assertGreater(answers, 100)
        self.assertEqual(forbidden, FORBIDDEN_ANSWERS)


if __name__ == "__main__":
    unittest.main()
