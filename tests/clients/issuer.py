"""A real OpenID Connect issuer: npm's `oidc-provider`, installed by `run`."""

import base64
import json
import os
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

START_SECONDS = 30


class Issuer:
    """A running issuer with two clients, `reader` and `stranger`, whose secrets are `{name}-secret`."""

    def __init__(self, directory):
        self.process = subprocess.Popen(
            ["node", "issuer.mjs"],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        said = json.loads(self.process.stdout.readline())
        self.url, self.audience = said["url"], said["audience"]

    def rotate(self, algorithm):
        """A new key, and the old one is gone."""
        self.process.stdin.write(f"rotate {algorithm}\n")
        self.process.stdin.flush()
        json.loads(self.process.stdout.readline())

    def token(self, client, audience=None):
        body = {"grant_type": "client_credentials", "resource": audience or self.audience, "scope": "use"}
        login = base64.b64encode(f"{client}:{client}-secret".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}/token",
            urllib.parse.urlencode(body).encode(),
            {"Authorization": f"Basic {login}"},
        )
        with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
            return json.load(answer)["access_token"]

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(START_SECONDS)
        self.process.stdout.close()


def installed():
    """Where `run` has installed it."""
    directory = os.environ.get("COFFER_CLIENTS_ISSUER", "")
    return Path(directory) if directory and (Path(directory) / "node_modules" / "oidc-provider").is_dir() else None
