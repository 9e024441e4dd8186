"""Azure's own client of key vaults, unmodified: the whole life of a secret, and what is refused in the service's own words."""

import datetime
import socket
import unittest
from unittest import mock

import harness
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

import azure_sdk


def resolve_here(host, *arguments, _ask=socket.getaddrinfo, **options):
    """Not every resolver knows that `*.localhost` is this machine."""
    return _ask("127.0.0.1" if str(host).endswith(".localhost") else host, *arguments, **options)


class KeyVault(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)
        cls.env = cls.world.env
        resolving = mock.patch("socket.getaddrinfo", resolve_here)
        resolving.start()
        cls.addClassCleanup(resolving.stop)
        day = cls.world.day("kv")
        cls.key_vault = day.key_vault
        port = cls.env["COFFER_ENDPOINT"].rsplit(":", 1)[1]
        # At a host of its own the challenge is verified, as in Azure.
        cls.own = azure_sdk.secrets(cls.env, f"https://{day.key_vault_name}.vault.localhost:{port}")
        cls.default = azure_sdk.secrets(cls.env)

    def refused(self, error, status, code, inner=None):
        self.assertEqual(error.status_code, status, error)
        self.assertEqual(error.error.code, code)
        if inner is not None:
            self.assertEqual((error.error.innererror or {}).get("code"), inner)

    def test_life_of_a_secret(self):
        for client in (self.own, self.default):
            with self.subTest(client.vault_url):
                self.walk(client)

    def walk(self, client):
        now = datetime.datetime.now(datetime.UTC if hasattr(datetime, "UTC") else datetime.timezone.utc)
        now = now.replace(microsecond=0)
        first = client.set_secret("login", "first", content_type="text/plain", tags={"for": "tests"})
        self.assertEqual((first.value, first.properties.content_type), ("first", "text/plain"))
        self.assertEqual(first.properties.vault_url.rstrip("/"), client.vault_url.rstrip("/"))
        self.assertEqual(first.properties.recovery_level, "Recoverable+Purgeable")
        self.assertEqual(first.properties.recoverable_days, 90)
        second = client.set_secret("login", "second", expires_on=now + datetime.timedelta(days=1), not_before=now)
        self.assertEqual(second.properties.expires_on, now + datetime.timedelta(days=1))
        self.assertEqual(client.get_secret("login").value, "second")
        self.assertEqual(client.get_secret("login", first.properties.version).value, "first")
        versions = {p.version for p in client.list_properties_of_secret_versions("login")}
        self.assertEqual(versions, {first.properties.version, second.properties.version})

        changed = client.update_secret_properties(
            "login", enabled=False, content_type="x", tags={"a": "b"}, expires_on=now + datetime.timedelta(days=2)
        )
        self.assertEqual((changed.enabled, changed.content_type, changed.tags), (False, "x", {"a": "b"}))
        self.assertEqual(changed.expires_on, now + datetime.timedelta(days=2))
        with self.assertRaises(HttpResponseError) as caught:
            client.get_secret("login")
        self.refused(caught.exception, 403, "Forbidden", "SecretDisabled")
        self.assertEqual(client.get_secret("login", first.properties.version).value, "first")
        client.update_secret_properties("login", enabled=True)

        # More than a page of 25.
        names = {f"many-{n}" for n in range(30)}
        for name in names:
            client.set_secret(name, name)
        listed = {p.name for p in client.list_properties_of_secrets()}
        self.assertLessEqual(names | {"login"}, listed)

        deleted = client.begin_delete_secret("login").result()
        self.assertEqual(deleted.recovery_id.rsplit("/", 2)[1:], ["deletedsecrets", "login"])
        self.assertEqual((deleted.scheduled_purge_date - deleted.deleted_date).days, 90)
        with self.assertRaises(ResourceNotFoundError) as caught:
            client.get_secret("login")
        self.refused(caught.exception, 404, "SecretNotFound")
        with self.assertRaises(ResourceExistsError) as caught:
            client.set_secret("login", "third")
        self.refused(caught.exception, 409, "Conflict", "ObjectIsDeletedButRecoverable")
        self.assertEqual(client.get_deleted_secret("login").name, "login")
        self.assertIn("login", {d.name for d in client.list_deleted_secrets()})
        recovered = client.begin_recover_deleted_secret("login").result()
        self.assertEqual(recovered.name, "login")
        self.assertEqual(client.get_secret("login").value, "second")

        client.begin_delete_secret("login").result()
        client.purge_deleted_secret("login")
        with self.assertRaises(ResourceNotFoundError) as caught:
            client.get_deleted_secret("login")
        self.refused(caught.exception, 404, "SecretNotFound")
        client.set_secret("login", "anew")
        self.assertEqual(len(list(client.list_properties_of_secret_versions("login"))), 1)
        with self.assertRaises(HttpResponseError) as caught:
            client.backup_secret("login")
        self.refused(caught.exception, 400, "NotSupported")
        with self.assertRaises(HttpResponseError) as caught:
            client.restore_secret_backup(b"nothing of ours")
        self.refused(caught.exception, 400, "NotSupported")

    def test_names_and_values(self):
        for name, value in (("a_b", "x"), ("long", "x" * (25 * 1024 + 1))):
            with self.assertRaises(HttpResponseError) as caught:
                self.own.set_secret(name, value)
            self.refused(caught.exception, 400, "BadParameter")
        value = "ä\n\"'\\ \u0000 €" + "x" * (24 * 1024)
        self.assertEqual(self.own.set_secret("odd", value).value, value)
        self.assertEqual(self.own.get_secret("odd").value, value)
