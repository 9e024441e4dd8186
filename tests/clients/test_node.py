"""Azure's own clients for Node, unmodified: `node/clients.mjs` walks, and what it saw is looked at here.

`run` installs them where there is npm, and says where in COFFER_CLIENTS_NODE.
"""

import json
import os
import subprocess
import unittest

import harness  # first: it says where the quickstart's modules are
from rest import SERVERS

NODE = os.environ.get("COFFER_CLIENTS_NODE", "")
# Longest time for the whole walk.
LIMIT = 300


@unittest.skipUnless(NODE, "COFFER_CLIENTS_NODE names no installation of the clients for Node")
class Node(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)

    def test_the_walk(self):
        world, day = self.world, self.world.day("node")
        group = day.server.split("/providers/")[0]
        server = f"{group}/providers/Microsoft.DBforPostgreSQL/flexibleServers/flexible-node"
        properties = {
            "fullyQualifiedDomainName": "127.0.0.1",
            "port": world.postgres.port,
            "sslMode": "disable",
            "secretUri": day.admin_secret,
        }
        world.client.put(server, {"location": day.location, "properties": properties}, api_version=SERVERS)
        port = world.env["COFFER_ENDPOINT"].rsplit(":", 1)[1]
        host = f"{day.key_vault_name}.vault.localhost:{port}"
        ran = subprocess.run(
            ["node", "clients.mjs", group, host, "flexible-node"],
            cwd=NODE,
            # The databases are of the second subscription.
            env={**os.environ, **world.env, "AZURE_SUBSCRIPTION_ID": world.second_subscription},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        said = json.loads(ran.stdout)
        self.assertEqual(
            said["secret"],
            {
                "latest": "second",
                "first": "first",
                "contentType": "text/plain",
                "tags": {"for": "tests"},
                "versions": 2,
                "names": ["backup-login", "login", "restore-login"],
                "absent": {"status": 404, "code": "SecretNotFound"},
            },
        )
        self.assertEqual(said["defaultVault"].rstrip("/"), world.env["COFFER_ENDPOINT"])
        self.assertEqual(
            said["roles"],
            {
                "reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
                "named": True,
                "scope": group,
                "got": True,
                "listed": True,
                "byId": True,
                "gone": {"status": 404, "code": "RoleAssignmentNotFound"},
            },
        )
        self.assertEqual(
            said["servers"],
            {
                "id": server,
                "state": "Ready",
                "host": "127.0.0.1",
                "listed": ["flexible-node"],
                "everywhere": ["flexible-node"],
                "databases": ["postgres"],
                "database": "UTF8",
                "absent": {"status": 404, "code": "ResourceNotFound"},
            },
        )
        self.assertEqual(said["deleted"], {"status": 404, "code": "ResourceNotFound"})


if __name__ == "__main__":
    unittest.main()
