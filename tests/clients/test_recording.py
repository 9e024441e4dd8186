"""The recorded day of a PostgreSQL database at the real service, sent again, answer by answer.

Without the recording the test is skipped; `recording` says where it is looked for, and what is compared.
"""

import json
import unittest

import harness
from recording import DIRECTORY, LOCATION, NO_SUBSCRIPTION, Replay

RECORDING = DIRECTORY / "backup_and_restore_oss.json"


@unittest.skipUnless(RECORDING.is_file(), f"no recording at {RECORDING}")
class Recording(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)
        cls.recorded = json.loads(RECORDING.read_text())

    def setUp(self):
        world = self.world
        self.client = world.client
        vaults = f"/subscriptions/{world.env['AZURE_SUBSCRIPTION_ID']}"
        sources = f"/subscriptions/{world.second_subscription}"
        # The names of the recording are ours too, but for the subscriptions; the database belongs to the second one.
        self.names = {
            NO_SUBSCRIPTION: vaults,
            f"{NO_SUBSCRIPTION}/resourceGroups/oss-clitest-rg": f"{sources}/resourceGroups/oss-clitest-rg",
        }
        self.provide(f"{vaults}/resourceGroups/clitest-dpp-rg", f"{sources}/resourceGroups/oss-clitest-rg")

    def provide(self, group, sources):
        """What was there before the recording began."""
        world, client = self.world, self.client
        world.postgres.psql("postgres", harness.SMALL)
        world.postgres.psql("postgres", harness.GRANTS_IN_DATABASE, variables={"database": "postgres"})
        day = world.day("recorded")
        day.location = LOCATION
        for path in (group, sources):
            client.put(path, {"location": LOCATION}, api_version="2021-04-01")
        day.vault = f"{group}/providers/Microsoft.DataProtection/backupVaults/clitest-bkp-vault-donotdelete"
        day.policy = f"{day.vault}/backupPolicies/osspolicy"
        day.server = f"{sources}/providers/Microsoft.DBforPostgreSQL/servers/oss-clitest-server"
        day.key_vault_name = "oss-clitest-keyvault"
        day.key_vault = f"{sources}/providers/Microsoft.KeyVault/vaults/{day.key_vault_name}"
        day.storage = f"{sources}/providers/Microsoft.Storage/storageAccounts/ossclitestsa"
        day.create_key_vault()
        # One login for backups and restores, as the recording has it.
        day.set_secret("oss-clitest-secret", world.postgres.database("postgres").uri)
        day.register_server("127.0.0.1", world.postgres.port, "disable", None)
        day.register_storage((world.coffer.data / "files" / "recording").as_uri())
        day.create_vault()
        day.create_policy()
        day.grant_vault()

    def test_every_answer_has_the_recorded_shape(self):
        found = [" ".join(difference) for difference in Replay(self.client, self.names).run(self.recorded)]
        self.assertFalse(found, "\n" + "\n".join(found))


if __name__ == "__main__":
    unittest.main()
