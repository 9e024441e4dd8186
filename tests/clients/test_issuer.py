"""Tokens of a real issuer (npm's `oidc-provider`), with every kind of key that is taken, and while it changes its keys."""

import base64
import json
import shutil
import ssl
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from harness import BINARY, CofferServer
from issuer import Issuer, installed

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


@unittest.skipUnless(installed(), "npm's oidc-provider is not installed: tests/clients/run does it where there is npm")
class AnotherIssuer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="coffer-issuer-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.issuer = Issuer(installed())
        cls.addClassCleanup(cls.issuer.stop)
        configuration = cls.directory / "coffer.toml"
        configuration.write_text(
            f'[[identity.issuers]]\nissuer = "{cls.issuer.url}"\naudiences = ["{cls.issuer.audience}"]\n'
        )
        cls.coffer = CofferServer(
            BINARY, cls.directory / "data", log_path=cls.directory / "serve.log", configuration=configuration
        )
        cls.addClassCleanup(cls.coffer.stop)
        cls.env = cls.coffer.start()
        cls.subscription = f"/subscriptions/{cls.env['AZURE_SUBSCRIPTION_ID']}"
        made = cls.coffer.command(
            *("principal", "create", "--data-dir", cls.coffer.data, "--config", configuration, "--name", "reader"),
            *("--issuer", cls.issuer.url, "--subject", "reader", "--role", "Reader", "--scope", cls.subscription),
            *("--output", "json"),
        )
        cls.principal = json.loads(made)

    def get(self, token):
        """The status of a read as whoever has the token, and the error's code."""
        context = ssl.create_default_context(cafile=self.env["COFFER_CA_FILE"])
        url = f"{self.env['COFFER_ENDPOINT']}{self.subscription}?api-version=2022-12-01"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, context=context, timeout=60) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error"]["code"]

    def test_keys_of_every_kind_and_their_change(self):
        self.assertEqual(self.principal["subject"], "reader")
        first = self.issuer.token("reader")
        self.assertEqual(self.get(first), (200, ""))
        # Somebody whom the issuer knows and the operator does not; and a token that is meant for somebody else.
        self.assertEqual(self.get(self.issuer.token("stranger")), (401, "InvalidAuthenticationToken"))
        elsewhere = self.issuer.token("reader", "api://elsewhere")
        self.assertEqual(self.get(elsewhere), (401, "InvalidAuthenticationTokenAudience"))
        for algorithm in ["ES256", "EdDSA"]:
            self.issuer.rotate(algorithm)
            token = self.issuer.token("reader")
            header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
            self.assertEqual(header["alg"], algorithm)
            self.assertEqual(self.get(token), (200, ""), algorithm)
            # The key of before is withdrawn.
            self.assertEqual(self.get(first), (401, "InvalidAuthenticationToken"), algorithm)
            self.assertEqual(self.get(token), (200, ""), algorithm)

        listed = json.loads(
            self.coffer.command("audit", "list", "--data-dir", self.coffer.data, "--output", "json")
        )
        self.assertEqual(
            {row["entry"]["outcome"] for row in listed if row["entry"].get("address")}, {"Refused"}, listed
        )


if __name__ == "__main__":
    unittest.main()
