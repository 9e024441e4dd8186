"""The real `az`, unmodified: told of a cloud of its own, it logs in and does what comes before and beside a backup.

`run` installs it, since it is large, into a virtual environment of its own, COFFER_CLIENTS_AZ. The requests of its
`dataprotection` extension, which is on no package index, are those of `test_az_dataprotection`.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BINARY, CofferServer

AZ = os.environ.get("COFFER_CLIENTS_AZ", "")
# Longest time for one command: it reads hundreds of modules before it does anything.
LIMIT = 120
LOCATION = "westeurope"

# Not every resolver knows that `*.localhost` is this machine. Python runs this before az.
RESOLVE_HERE = """
import socket
ask = socket.getaddrinfo
def resolve_here(host, *arguments, **options):
    return ask("127.0.0.1" if str(host).endswith(".localhost") else host, *arguments, **options)
socket.getaddrinfo = resolve_here
"""


@unittest.skipUnless(AZ, "COFFER_CLIENTS_AZ names no installation of az")
class Az(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="coffer-az-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.coffer = CofferServer(BINARY, cls.directory / "data", log_path=cls.directory / "serve.log")
        cls.addClassCleanup(cls.coffer.stop)
        cls.env = cls.coffer.start()
        modules = cls.directory / "modules"
        modules.mkdir()
        (modules / "sitecustomize.py").write_text(RESOLVE_HERE)
        cls.environment = {
            **os.environ,
            # Fresh: az remembers what issuers said, and which of them failed.
            "AZURE_CONFIG_DIR": str(cls.directory / "az"),
            "REQUESTS_CA_BUNDLE": cls.env["COFFER_CA_FILE"],
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
            "PYTHONPATH": str(modules),
        }
        # As an administrator does it once.
        cls.az("cloud", "register", "-n", "coffer", "--endpoint-resource-manager", cls.env["COFFER_ENDPOINT"])
        cls.az("cloud", "set", "-n", "coffer")
        cls.subscription = f"/subscriptions/{cls.env['AZURE_SUBSCRIPTION_ID']}"
        cls.logged_in = cls.az(
            *("login", "--service-principal", "--username", cls.env["AZURE_CLIENT_ID"]),
            *("--password", cls.env["AZURE_CLIENT_SECRET"], "--tenant", cls.env["AZURE_TENANT_ID"]),
        )

    @classmethod
    def run_az(cls, *arguments):
        command = [Path(AZ) / "bin" / "az", *arguments, "--output", "json"]
        return subprocess.run(
            command, env=cls.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
        )

    @classmethod
    def az(cls, *arguments):
        """What the command printed, decoded."""
        ran = cls.run_az(*arguments)
        if ran.returncode != 0:
            # Not with its arguments: one is a password.
            raise AssertionError(f"az {arguments[0]} ended with {ran.returncode}: {ran.stderr}")
        return json.loads(ran.stdout) if ran.stdout.strip() else None

    def refused(self, code, *arguments):
        """The command's words for an error; its exit code is 3 where something is not there, else 1."""
        ran = self.run_az(*arguments)
        self.assertEqual(ran.returncode, code, ran.stderr)
        return ran.stderr

    def test_accounts(self):
        [account] = self.logged_in
        self.assertEqual(account["id"], self.env["AZURE_SUBSCRIPTION_ID"])
        shown = self.az("account", "show")
        self.assertEqual((shown["id"], shown["tenantId"]), (account["id"], self.env["AZURE_TENANT_ID"]))
        self.assertEqual(shown["user"], {"name": self.env["AZURE_CLIENT_ID"], "type": "servicePrincipal"})
        self.assertIn(account["id"], [one["id"] for one in self.az("account", "list")])
        cloud = self.az("cloud", "show")
        self.assertEqual(cloud["endpoints"]["resourceManager"].rstrip("/"), self.env["COFFER_ENDPOINT"])
        self.assertTrue(cloud["suffixes"]["keyvaultDns"].startswith(".vault.localhost:"), cloud["suffixes"])
        token = self.az("account", "get-access-token")
        self.assertEqual((token["tokenType"], token["subscription"]), ("Bearer", account["id"]))

    def test_groups(self):
        made = self.az("group", "create", "-n", "az-groups", "-l", LOCATION, "--tags", "team=orders")
        self.assertEqual(made["id"], f"{self.subscription}/resourceGroups/az-groups")
        self.assertEqual((made["properties"], made["tags"]), ({"provisioningState": "Succeeded"}, {"team": "orders"}))
        self.assertEqual(self.az("group", "show", "-n", "az-groups"), made)
        self.assertIn(made, self.az("group", "list"))
        self.assertIs(self.az("group", "exists", "-n", "az-groups"), True)
        self.az("group", "delete", "-n", "az-groups", "--yes")
        self.assertIs(self.az("group", "exists", "-n", "az-groups"), False)
        self.assertIn("ResourceGroupNotFound", self.refused(3, "group", "show", "-n", "az-groups"))

    def key_vault(self, name):
        self.az("group", "create", "-n", name, "-l", LOCATION)
        scope = f"{self.subscription}/resourceGroups/{name}/providers/Microsoft.KeyVault/vaults/{name}"
        body = {
            "location": LOCATION,
            "properties": {
                "tenantId": self.env["AZURE_TENANT_ID"],
                "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": True,
            },
        }
        made = self.az("rest", "-m", "put", "-u", f"{scope}?api-version=2023-02-01", "-b", json.dumps(body))
        self.assertEqual(made["id"], scope)
        return scope

    def test_secrets(self):
        scope = self.key_vault("az-secrets")
        self.assertIn(scope, [one["id"] for one in self.az("keyvault", "list")])
        self.assertEqual(self.az("keyvault", "show", "-n", "az-secrets")["id"], scope)
        vault = ("--vault-name", "az-secrets")
        made = self.az("keyvault", "secret", "set", *vault, "-n", "login", "--value", "host=127.0.0.1")
        self.assertEqual(self.az("keyvault", "secret", "show", *vault, "-n", "login"), made)
        self.assertEqual(self.az("keyvault", "secret", "show", "--id", made["id"])["value"], "host=127.0.0.1")
        [listed] = self.az("keyvault", "secret", "list", *vault)
        self.assertEqual((listed["name"], listed["id"]), ("login", made["id"].rsplit("/", 1)[0]))
        self.assertNotIn("value", listed)
        self.assertIn("SecretNotFound", self.refused(3, "keyvault", "secret", "show", *vault, "-n", "absent"))

    def test_roles(self):
        scope = self.key_vault("az-roles")
        [reader] = self.az("role", "definition", "list", "--name", "Reader")
        self.assertEqual(reader["name"], "acdd72a7-3385-48ef-bd42-f606fba81ae7")
        self.assertEqual(reader["permissions"][0]["actions"], ["*/read"])
        principal = self.env["COFFER_PRINCIPAL_ID"]
        made = self.az(
            *("role", "assignment", "create", "--role", "Reader", "--scope", scope),
            *("--assignee-object-id", principal, "--assignee-principal-type", "ServicePrincipal"),
        )
        self.assertEqual((made["scope"], made["principalId"]), (scope, principal))
        self.assertEqual(made["roleDefinitionId"].rsplit("/", 1)[1], reader["name"])
        [listed] = self.az("role", "assignment", "list", "--scope", scope)
        self.assertEqual((listed["id"], listed["roleDefinitionName"]), (made["id"], "Reader"))
        self.az("role", "assignment", "delete", "--assignee", principal, "--role", "Reader", "--scope", scope)
        self.assertEqual(self.az("role", "assignment", "list", "--scope", scope), [])

    def test_rest(self):
        providers = self.az("rest", "-u", f"{self.subscription}/providers/Microsoft.DataProtection?api-version=2021-04-01")
        self.assertEqual(providers["registrationState"], "Registered")
        vaults = f"{self.subscription}/providers/Microsoft.DataProtection/backupVaults"
        self.assertEqual(self.az("rest", "-u", f"{vaults}?api-version=2024-04-01"), {"value": []})
        self.assertIn("MissingApiVersionParameter", self.refused(1, "rest", "-u", vaults))
        absent = f"{self.subscription}/resourceGroups/absent?api-version=2021-04-01"
        self.assertIn("ResourceGroupNotFound", self.refused(1, "rest", "-u", absent))
        self.assertEqual(self.az("postgres", "flexible-server", "list"), [])


if __name__ == "__main__":
    unittest.main()
