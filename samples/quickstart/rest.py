"""A small client of the REST API in plain Python: a token, JSON over HTTPS, and waiting for long operations.

It shows all that a client needs. Real programs take one of Azure's SDKs; see docs/quickstart.md.
"""

import http.client
import json
import re
import ssl
import time
import urllib.parse

from terminal import Failure

# The article that this day follows sends this version.
API_VERSION = "2021-01-01"
# Of the neighbours: resource groups, role assignments, key vaults and their secrets, storage, servers.
RESOURCES = "2021-04-01"
AUTHORIZATION = "2022-04-01"
KEY_VAULTS = "2023-02-01"
SECRETS = "7.4"
STORAGE = "2023-01-01"
SERVERS = "2017-12-01"

# How long an operation or a job may take before we stop waiting. The work itself would go on.
OPERATION_SECONDS = 300
JOB_SECONDS = 4 * 3600
# How long one answer may take.
ANSWER_SECONDS = 60


class RequestFailed(Failure):
    """The server's answer was an error. `code` is Azure's error code, `status` that of HTTP."""

    def __init__(self, what, status, body):
        error = body.get("error") if isinstance(body, dict) else None
        error = error if isinstance(error, dict) else {}
        self.status = status
        self.code = error.get("code", "")
        self.body = body
        super().__init__(f"{what}: HTTP {status} {self.code}: {describe_error(error) or body}")


class Answer:
    """Status, headers (by lower-case name) and the decoded body of an answer."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body


class Client:
    """Speaks to one server as one service principal."""

    # Longest pause between two looks at what is being done, where the server does not ask for less.
    pause_max_seconds = 1.0

    def __init__(self, env):
        self.env = env
        self.endpoint = env["COFFER_ENDPOINT"].rstrip("/")
        parts = urllib.parse.urlsplit(self.endpoint)
        self._host, self._port = parts.hostname, parts.port or 443
        self._tls = ssl.create_default_context(cafile=env["COFFER_CA_FILE"])
        self._connection = None
        self._tokens = {}

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Tokens ----------------------------------------------------------------------------------------------------------

    def token(self, scope=None):
        """A bearer token by client credentials, kept until shortly before its end."""
        scope = scope or f"{self.endpoint}/.default"
        token, until = self._tokens.get(scope, (None, 0))
        if time.monotonic() < until:
            return token
        form = urllib.parse.urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": self.env["AZURE_CLIENT_ID"],
                "client_secret": self.env["AZURE_CLIENT_SECRET"],
                "scope": scope,
            }
        )
        path = f"/{self.env['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        answer = self._send("POST", path, form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        if answer.status != 200:
            raise Failure(f"no token: HTTP {answer.status}: {answer.body}")
        token = answer.body["access_token"]
        self._tokens[scope] = (token, time.monotonic() + int(answer.body.get("expires_in", 300)) - 60)
        return token

    # Requests --------------------------------------------------------------------------------------------------------

    def request(self, method, path, body=None, api_version=API_VERSION, expect=(200, 201, 202, 204), query=None):
        """One request. `path` may be an absolute URL that an answer named."""
        if path.startswith("https://"):
            parts = urllib.parse.urlsplit(path)
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        else:
            pairs = {**(query or {}), "api-version": api_version}
            path = f"{urllib.parse.quote(path)}?{urllib.parse.urlencode(pairs)}"
        headers = {"Authorization": f"Bearer {self.token()}", "Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        answer = self._send(method, path, data, headers)
        if answer.status not in expect:
            raise RequestFailed(f"{method} {path.split('?')[0]}", answer.status, answer.body)
        return answer

    def get(self, path, **options):
        return self.request("GET", path, expect=(200,), **options).body

    def put(self, path, body, **options):
        return self.request("PUT", path, body, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def _send(self, method, path, data, headers):
        # A connection that the server closed while it was idle is opened again, once. After bytes of an answer came
        # nothing is repeated.
        for attempt in (1, 2):
            fresh = self._connection is None
            if fresh:
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, context=self._tls, timeout=ANSWER_SECONDS
                )
            try:
                self._connection.request(method, path, data, headers)
                response = self._connection.getresponse()
                raw = response.read()
            except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError, TimeoutError) as error:
                self.close()
                if fresh or attempt == 2:
                    raise Failure(f"{method} {path.split('?')[0]}: no answer: {error}") from error
                continue
            try:
                body = json.loads(raw) if raw else None
            except ValueError:
                body = raw.decode(errors="replace")
            return Answer(response.status, response.getheaders(), body)
        raise AssertionError("unreachable")

    # Long operations -------------------------------------------------------------------------------------------------

    def wait(self, answer, what):
        """Waits for the operation that an answer named, if it named one, and returns its last status."""
        url = answer.headers.get("azure-asyncoperation") or answer.headers.get("location")
        if url is None:
            return {"status": "Succeeded"}
        deadline = time.monotonic() + OPERATION_SECONDS
        pause = 0.05
        while True:
            status = self.request("GET", url, expect=(200, 202))
            state = (status.body or {}).get("status", "Succeeded" if status.status == 200 else "InProgress")
            if state.lower() == "succeeded":
                return status.body or {}
            if state.lower() in ("failed", "canceled", "cancelled"):
                raise RequestFailed(what, status.status, status.body)
            if time.monotonic() > deadline:
                raise Failure(f"{what}: not done after {OPERATION_SECONDS} s (it goes on in the server)")
            # Politeness towards a server at hand: soon at first, then as it asks.
            time.sleep(pause)
            pause = min(pause * 2, float(status.headers.get("retry-after", 1)), self.pause_max_seconds)

    def wait_for_job(self, answer, what, progress=lambda job: None):
        """Waits for the job that a `backup` or `restore` began, and returns it. Warnings are the caller's to show."""
        operation = self.wait(answer, what)
        job_id = (operation.get("properties") or {}).get("jobId")
        if not job_id:
            raise Failure(f"{what}: the operation named no job: {operation}")
        deadline = time.monotonic() + JOB_SECONDS
        pause = 0.05
        while True:
            job = self.get(job_id)
            state = job["properties"]["status"]
            if state in ("Completed", "CompletedWithWarnings", "SuccessWithWarning"):
                return job
            if state not in ("InProgress", "Cancelling"):
                errors = job["properties"].get("errorDetails") or []
                raise Failure(f"{what}: the job ended as {state}: {'; '.join(describe_error(e) for e in errors)}")
            if time.monotonic() > deadline:
                raise Failure(f"{what}: the job {job_id} still runs after {JOB_SECONDS // 3600} hours")
            progress(job)
            time.sleep(pause)
            pause = min(pause * 1.5, self.pause_max_seconds)

    # Key vault -------------------------------------------------------------------------------------------------------

    def set_secret(self, name, value, vault_host=None):
        """Writes a secret. With `vault_host` into that key vault, which shares our address; else into the default one.

        Returns the secret's id, without its version.
        """
        # A program without name resolution for `*.localhost` speaks to the address it has, and names the vault as host.
        headers = {"Content-Type": "application/json"}
        if vault_host is not None:
            headers["Host"] = vault_host
        path = f"/secrets/{name}?api-version={SECRETS}"
        # Key vaults take tokens of their own; whose, says their answer to a request without one.
        challenge = self._send("PUT", path, None, headers).headers.get("www-authenticate", "")
        resource = re.search(r'resource="([^"]+)"', challenge)
        if resource is None:
            raise Failure(f"the key vault did not say what token it takes: {challenge}")
        headers["Authorization"] = f"Bearer {self.token(resource[1] + '/.default')}"
        answer = self._send("PUT", path, json.dumps({"value": value}).encode(), headers)
        if answer.status != 200:
            raise RequestFailed(f"set the secret {name}", answer.status, answer.body)
        return answer.body["id"].rsplit("/", 1)[0]


def describe_error(error):
    """An error object of Azure's in one line: its message, what lies behind it, and what to do."""
    if not isinstance(error, dict):
        return str(error)
    words = [error.get("message") or error.get("code") or ""]
    inner = error.get("innerError") or error.get("innererror")
    actions = list(error.get("recommendedAction") or [])
    for entry in error.get("additionalInfo") or []:
        info = entry.get("info") if isinstance(entry, dict) else None
        if isinstance(info, dict):
            inner = inner or info.get("innerError")
            actions += info.get("recommendedAction") or []
    if isinstance(inner, dict):
        info = inner.get("additionalInfo") or {}
        words.append(str(info.get("DetailedNonLocalisedMessage") or inner.get("message") or inner.get("code") or ""))
    words += actions
    for nested in error.get("details") or []:
        words.append(describe_error(nested))
    return " ".join(dict.fromkeys(word.strip() for word in words if word and word.strip()))
