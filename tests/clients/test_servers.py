"""Azure's own clients of PostgreSQL servers, unmodified: they can't say where a server is, so the configuration does."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

import azure_sdk
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient as FlexibleServersClient
from azure.mgmt.postgresqlflexibleservers import models as flexible
from azure.mgmt.rdbms.postgresql import PostgreSQLManagementClient as SingleServersClient
from azure.mgmt.rdbms.postgresql import models as single
from harness import BINARY, SMALL, Client, CofferServer, Server, quote
from rest import RESOURCES

# Longest time for an operation here: nothing is done but a registration.
LIMIT = 60
LOCATION = "westeurope"
PASSWORD = "an administrator's password, which nobody keeps"


class Servers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Server()
        cls.addClassCleanup(cls.postgres.stop)
        cls.postgres.psql("postgres", f"CREATE DATABASE {quote('Shop One')} TEMPLATE template0")
        cls.postgres.psql("Shop One", SMALL)
        cls.directory = Path(tempfile.mkdtemp(prefix="coffer-servers-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.coffer = cls.serve()
        cls.addClassCleanup(cls.coffer.stop)
        cls.env = cls.coffer.start()
        cls.rest = Client(cls.env)
        cls.addClassCleanup(cls.rest.close)
        subscription = f"/subscriptions/{cls.env['AZURE_SUBSCRIPTION_ID']}"
        cls.rest.put(f"{subscription}/resourceGroups/servers", {"location": LOCATION}, api_version=RESOURCES)
        for name, kind in (("single", SingleServersClient), ("flexible", FlexibleServersClient)):
            client = cls.client(kind)
            cls.addClassCleanup(client.close)
            setattr(cls, name, client)

    @classmethod
    def serve(cls):
        """A server that knows one PostgreSQL by its name, and the secret of its login, which lies in the default key vault."""
        configuration = cls.directory / "coffer.toml"
        configuration.write_text("")
        first = CofferServer(BINARY, cls.directory / "data", log_path=cls.directory / "serve.log")
        env = first.start()
        client = Client(env)
        secret = client.set_secret("login", cls.postgres.database("postgres").uri)
        client.close()
        first.stop()
        port = int(env["COFFER_ENDPOINT"].rsplit(":", 1)[1])
        configuration.write_text(
            "".join(
                f'[servers.{name}]\nhost = "127.0.0.1"\nport = {cls.postgres.port}\nssl_mode = "disable"\n'
                f"secret_uri = {json.dumps(secret)}\n"
                for name in ("orders-single", "orders-flexible")
            )
        )
        # The same port, since the secret's name has it.
        return CofferServer(
            BINARY, cls.directory / "data", port=port, log_path=cls.directory / "serve.log", configuration=configuration
        )

    @classmethod
    def client(cls, kind):
        endpoint = cls.env["COFFER_ENDPOINT"]
        return kind(
            azure_sdk.credential(cls.env),
            cls.env["AZURE_SUBSCRIPTION_ID"],
            base_url=endpoint,
            credential_scopes=[f"{endpoint}/.default"],
            connection_verify=cls.env["COFFER_CA_FILE"],
            polling_interval=1,
        )

    def done(self, poller):
        poller.wait(LIMIT)
        self.assertTrue(poller.done(), "not done in time")
        return poller.result()

    def refused(self, call, *arguments):
        with self.assertRaises(HttpResponseError) as caught:
            result = call(*arguments)
            if hasattr(result, "wait"):
                self.done(result)
        return caught.exception.status_code, caught.exception.error.code

    def single_server(self):
        return single.ServerForCreate(
            location=LOCATION,
            sku=single.Sku(name="GP_Gen5_2"),
            tags={"team": "orders"},
            properties=single.ServerPropertiesForDefaultCreate(
                version="11",
                administrator_login="admin",
                administrator_login_password=PASSWORD,
                storage_profile=single.StorageProfile(storage_mb=5120),
            ),
        )

    def flexible_server(self):
        properties = {
            "administratorLogin": "admin",
            "administratorLoginPassword": PASSWORD,
            "version": "15",
            "storage": {"storageSizeGB": 32},
        }
        return flexible.Server(
            {
                "location": LOCATION,
                "sku": {"name": "Standard_D2s_v3", "tier": "GeneralPurpose"},
                "tags": {"team": "orders"},
                "properties": properties,
            }
        )

    def check_databases(self, client, name):
        listed = {database.name: database for database in client.databases.list_by_server("servers", name)}
        self.assertIn("Shop One", listed)
        self.assertEqual(listed["Shop One"].charset, "UTF8")
        got = client.databases.get("servers", name, "Shop One")
        self.assertEqual(got.id, listed["Shop One"].id)
        self.assertTrue(got.id.endswith(f"/{name}/databases/Shop One"), got.id)
        with self.assertRaises(ResourceNotFoundError):
            client.databases.get("servers", name, "shop one")

    def test_single_servers(self):
        servers = self.single.servers
        made = self.done(servers.begin_create("servers", "orders-single", self.single_server()))
        self.assertEqual((made.name, made.type), ("orders-single", "Microsoft.DBforPostgreSQL/servers"))
        self.assertEqual((made.location, made.tags), (LOCATION, {"team": "orders"}))
        self.assertEqual((made.sku.name, made.version, made.administrator_login), ("GP_Gen5_2", "11", "admin"))
        self.assertEqual((made.fully_qualified_domain_name, made.user_visible_state), ("127.0.0.1", "Ready"))
        self.assertEqual(servers.get("servers", "orders-single").id, made.id)
        self.assertEqual([one.id for one in servers.list_by_resource_group("servers")], [made.id])
        self.assertEqual([one.id for one in servers.list()], [made.id])
        self.check_databases(self.single, "orders-single")
        again = self.done(servers.begin_create("servers", "orders-single", self.single_server()))
        self.assertEqual(again.as_dict(), made.as_dict())
        self.assertEqual(
            self.refused(servers.begin_create, "servers", "nowhere", self.single_server())[0], 400
        )
        self.done(servers.begin_delete("servers", "orders-single"))
        self.assertEqual(self.refused(servers.get, "servers", "orders-single"), (404, "ResourceNotFound"))
        self.done(servers.begin_delete("servers", "orders-single"))

    def test_flexible_servers(self):
        servers = self.flexible.servers
        made = self.done(servers.begin_create_or_update("servers", "orders-flexible", self.flexible_server()))
        self.assertEqual((made.name, made.type), ("orders-flexible", "Microsoft.DBforPostgreSQL/flexibleServers"))
        self.assertEqual((made.location, made.tags), (LOCATION, {"team": "orders"}))
        self.assertEqual((made.sku.name, made.sku.tier), ("Standard_D2s_v3", "GeneralPurpose"))
        properties = made.properties
        self.assertEqual((properties.version, properties.administrator_login), ("15", "admin"))
        self.assertEqual((properties.fully_qualified_domain_name, properties.state), ("127.0.0.1", "Ready"))
        self.assertEqual(servers.get("servers", "orders-flexible").id, made.id)
        self.assertEqual([one.id for one in servers.list_by_resource_group("servers")], [made.id])
        self.assertEqual([one.id for one in servers.list_by_subscription()], [made.id])
        self.check_databases(self.flexible, "orders-flexible")
        refused = self.refused(servers.begin_create_or_update, "servers", "nowhere", self.flexible_server())
        self.assertEqual(refused[0], 400)
        self.done(servers.begin_delete("servers", "orders-flexible"))
        self.assertEqual(self.refused(servers.get, "servers", "orders-flexible"), (404, "ResourceNotFound"))

    def test_the_administrators_password_is_kept_nowhere(self):
        """Neither as it is nor in any answer."""
        made = self.done(self.single.servers.begin_create("servers", "orders-single", self.single_server()))
        self.addCleanup(lambda: self.done(self.single.servers.begin_delete("servers", "orders-single")))
        self.assertNotIn(PASSWORD, json.dumps(self.rest.get(made.id, api_version="2017-12-01")))
        for path in self.directory.rglob("*"):
            if path.is_file():
                self.assertNotIn(PASSWORD.encode(), path.read_bytes(), path)


if __name__ == "__main__":
    unittest.main()
