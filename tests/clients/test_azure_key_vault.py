"""A key vault of Azure is read as the machine's own identity. Azure is a second Coffer, whose key vaults speak the same wire."""

import http.server
import json
import threading
import time
import unittest
import urllib.parse

import harness
from coffer_server import CofferServer
from rest import KEY_VAULTS, RESOURCES, Client, RequestFailed

KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"


class ManagedIdentity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)
        cls.world.create_database("small")
        cls.azure = CofferServer(
            harness.BINARY,
            cls.world.directory / "azure",
            environment={"COFFER_VAULT_HOST_SUFFIX": "vault.azure.net"},
        )
        cls.addClassCleanup(cls.azure.stop)
        cls.azure_client = Client(cls.azure.start())
        cls.addClassCleanup(cls.azure_client.close)

    def identity_endpoint(self):
        """What a machine of Azure offers its programs: tokens for whoever can name the header."""
        asked = []
        client = self.azure_client

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                asked.append(query["resource"])
                allowed = self.headers["x-identity-header"] == "a-header"
                body = {}
                if allowed:
                    token = client.token(query["resource"] + "/.default")
                    body = {"access_token": token, "expires_on": str(int(time.time()) + 3000), "token_type": "Bearer"}
                    body["resource"] = query["resource"]
                self.send_response(200 if allowed else 401)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}/token", asked

    def test_protects_a_database(self):
        world, azure = self.world, self.azure_client
        port = azure.endpoint.rsplit(":", 1)[1]
        group = f"/subscriptions/{azure.env['AZURE_SUBSCRIPTION_ID']}/resourceGroups/keys"
        azure.put(group, {"location": "westus"}, api_version=RESOURCES)
        key_vault = f"{group}/providers/Microsoft.KeyVault/vaults/remote"
        azure.put(key_vault, {"location": "westus", "properties": {}}, api_version=KEY_VAULTS)
        login = world.postgres.database("postgres", "coffer_backup", world.backup_password)
        azure.set_secret("login", login.uri, vault_host=f"remote.vault.azure.net:{port}")

        endpoint, asked = self.identity_endpoint()
        configuration = world.directory / "coffer.toml"
        configuration.write_text(
            f"""
            [key_vault.azure]
            managed_identity = true
            ca_file = "{azure.env['COFFER_CA_FILE']}"
            hosts = {{ "*.vault.azure.net" = "/subscriptions/{world.env['AZURE_SUBSCRIPTION_ID']}" }}
            addresses = {{ "remote.vault.azure.net" = "127.0.0.1:{port}" }}
            """
        )
        world.coffer.stop()
        world.coffer.configuration = configuration
        world.restart({"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": "a-header"})

        day = world.day("managed")
        day.create_vault()
        day.create_policy()
        day.grant_vault()
        day.describe_instance("small")
        uri = f"https://remote.vault.azure.net:{port}/secrets/login"
        day.instance_properties["datasourceAuthCredentials"] = {
            "objectType": "SecretStoreBasedAuthCredentials",
            "secretStoreResource": {"secretStoreType": "AzureKeyVault", "uri": uri},
        }
        registration = f"{day.groups[0]}/providers/Microsoft.KeyVault/vaults/remote"
        day.client.put(registration, {"location": day.location, "properties": {}}, api_version=KEY_VAULTS)
        with self.assertRaises(RequestFailed):
            day.validate()
        self.assertEqual(asked, [], "Azure was asked for somebody without the role here")
        day._assign(registration, KEY_VAULT_SECRETS_USER, day.principal)
        day.validate()
        self.assertEqual(set(asked), {f"https://vault.azure.net:{port}"})
        day.configure()
        self.assertEqual(day.backup()["properties"]["status"], "Completed")


if __name__ == "__main__":
    unittest.main()
