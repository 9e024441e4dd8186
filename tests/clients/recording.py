"""Recorded exchanges of the real service, sent again to ours, answer by answer.

The recordings are Azure's own traffic with `az dataprotection` (not part of this repository: they are read from the directory
that COFFER_SHARED_DIR names, else `../shared`). Every request is sent with its recorded body; ids, names and URLs are
translated to ours. Compared are: status, the headers that clients follow, order and casing of members, which are null and
which left out, types, and every value that is not a time, an id or a measure.
"""

import json
import os
import re
import time
import urllib.parse
from pathlib import Path

import harness

SHARED = Path(os.environ.get("COFFER_SHARED_DIR", harness.ROOT.parent / "shared"))
DIRECTORY = SHARED / "azure" / "recordings"

NO_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"
LOCATION = "centraluseuap"
LIMIT = 300

# Members whose values differ from run to run: their types are compared, their values are not.
VOLATILE = {
    "activityID", "ActivityId", "creationTime", "dataTransferredInBytes", "duration", "endTime", "etag", "recoveryPointTime",
    "retentionTagVersion", "sourceSubscriptionID", "startTime", "subscriptionId", "DataTransferredInBytes",
    "OriginalDatasourceSizeInBytes", "TaskId", "metaData", "principalId", "tenantId",
}  # fmt: skip

# Ids that nothing in the recording refers to: they must look alike.
RANDOM_ID = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Members that are null in the recording and in which we say more: progress, measures, warnings.
MORE = {"taskProgress", "dataTransferredInBytes", "warningDetails"}
# Free maps of strings: ours holds what the recorded one holds, and more (phases, what a restore proved).
FREE_MAPS = {"additionalDetails"}
# The recording's second half is older than its first, and has what the newer service left out again.
RETIRED = {"isPartialRP": "recoveryPointState"}


def translate(value, names):
    """A recorded value with our names in it; the longest names first, so that none is cut."""
    text = json.dumps(value)
    for theirs in sorted(names, key=len, reverse=True):
        text = text.replace(theirs, names[theirs])
    return json.loads(text)


def differences(theirs, ours, path="", member=None):
    """What differs in shape, or in a value that is part of the contract, as lines of text."""
    if theirs is None and member in MORE | FREE_MAPS:
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        names = list(ours)
        if member in FREE_MAPS:
            names = sorted(name for name in names if name in theirs)
        if RETIRED.keys() & theirs.keys():
            theirs = {name: value for name, value in theirs.items() if name not in RETIRED}
            names = [name for name in names if name not in RETIRED.values()]
        if (sorted(theirs) if member in FREE_MAPS else list(theirs)) != names:
            yield f"{path}: members {names}, recorded {list(theirs)}"
        for name in theirs.keys() & ours.keys():
            yield from differences(theirs[name], ours[name], f"{path}.{name}", name)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{path}: {len(ours)} entries, recorded {len(theirs)}"
        for number, (left, right) in enumerate(zip(theirs, ours)):
            yield from differences(left, right, f"{path}[{number}]", member)
    elif type(theirs) is not type(ours):
        yield f"{path}: {ours!r}, recorded {theirs!r}"
    elif member in ("id", "friendlyName") and RANDOM_ID.fullmatch(theirs) and RANDOM_ID.fullmatch(ours):
        return
    elif member not in VOLATILE and theirs != ours:
        yield f"{path}: {ours!r}, recorded {theirs!r}"


def is_running(body):
    """Whether an operation's status or a job says that it goes on; None for any other body."""
    if not isinstance(body, dict):
        return None
    state = body.get("status") or (body.get("properties") or {}).get("status")
    return state.lower() == "inprogress" if isinstance(state, str) else None


class Replay:
    """Sends recorded exchanges and says what differs. `names` translates theirs to ours and learns on the way."""

    def __init__(self, client, names, other_lists=False):
        self.client = client
        self.names = names
        # Whether lists are of things that others made, so that not their lengths are compared but what is in them.
        self.other_lists = other_lists

    def run(self, recorded):
        """What differs in any answer, each as the exchange and a line of text that begins with what it is about."""
        number = 0
        while number < len(recorded):
            exchange = recorded[number]
            # The polls of one thing are one step: we need fewer, or more.
            polls = [exchange]
            while (
                exchange["method"] == "GET"
                and number + len(polls) < len(recorded)
                and recorded[number + len(polls)]["uri"] == exchange["uri"]
                and is_running(polls[-1]["resp"])
            ):
                polls.append(recorded[number + len(polls)])
            label = f"#{number} {exchange['cmd']}: {exchange['method']} {exchange['uri'].split('?')[0][-60:]}"
            for line in self.replay(polls):
                yield label, line
            number += len(polls)

    def replay(self, polls):
        exchange = polls[0]
        uri = translate(exchange["uri"], self.names)
        parts = urllib.parse.urlsplit(uri)
        path = f"{parts.path}?{parts.query}"
        body = translate(exchange["req"], self.names)
        answer = self.send(exchange["method"], path, body)
        yield from self.compare(self.matching(polls, answer.body), answer)
        deadline = time.monotonic() + LIMIT
        while is_running(answer.body) and is_running(polls[-1]["resp"]) is False:
            if time.monotonic() > deadline:
                raise AssertionError(f"{uri} still runs after {LIMIT} s")
            # Sooner than the header asks, to see more of the answers in between.
            time.sleep(0.05)
            answer = self.send("GET", path, None)
            yield from self.compare(self.matching(polls, answer.body), answer)

    @staticmethod
    def matching(polls, body):
        """The recorded poll that says the same: still running, or done."""
        for poll in polls:
            if is_running(poll["resp"]) == is_running(body):
                return poll
        last = polls[-1]
        if is_running(body) and is_running(last["resp"]) is False and "status" in last["resp"]:
            # It was done before it was first asked for, at the service; ours takes a moment.
            return {**last, "resp": {**last["resp"], "status": "Inprogress"}}
        return last

    def send(self, method, path, body):
        headers = {"Authorization": f"Bearer {self.client.token()}", "Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        return self.client._send(method, path, data, headers)

    def compare(self, exchange, answer):
        if answer.status != exchange["status"]["code"]:
            yield f"status {answer.status}, recorded {exchange['status']['code']}: {answer.body}"
            return
        for name in ("azure-asyncoperation", "location"):
            theirs, ours = exchange["headers"].get(name), answer.headers.get(name)
            if (theirs is None) != (ours is None):
                yield f"header {name}: {ours}, recorded {theirs}"
            elif theirs is not None:
                yield from self.compare_url(name, theirs, ours)
        if answer.status == 202 or is_running(answer.body) and "endTime" in answer.body:
            if not re.fullmatch("[1-9][0-9]*", answer.headers.get("retry-after", "")):
                yield f"header retry-after: {answer.headers.get('retry-after')}, a whole number was expected"
        if exchange["resp"] is not None and not answer.headers.get("content-type", "").startswith("application/json"):
            yield f"header content-type: {answer.headers.get('content-type')}"
        self.learn(exchange["resp"], answer.body)
        theirs, ours = self.expected(exchange), answer.body
        if self.other_lists and isinstance(theirs, dict) and theirs.get("value"):
            if not isinstance(ours, dict) or not ours.get("value"):
                yield f": {ours}, recorded a list that is not empty"
                return
            theirs, ours = {**theirs, "value": theirs["value"][:1]}, {**ours, "value": ours["value"][:1]}
        yield from differences(theirs, ours)

    def compare_url(self, name, theirs, ours):
        """The same path but for the operation's id, which from now on stands for the recorded one."""
        left, right = urllib.parse.urlsplit(theirs), urllib.parse.urlsplit(ours)
        self.names[left.path.rsplit("/", 1)[1]] = right.path.rsplit("/", 1)[1]
        if translate(left.path, self.names).lower() != right.path.lower():
            yield f"header {name}: {ours}, recorded {theirs}"
        if urllib.parse.parse_qs(left.query)["api-version"] != urllib.parse.parse_qs(right.query).get("api-version"):
            yield f"header {name}: api-version of {ours}, recorded {theirs}"
        if not ours.startswith(self.client.endpoint + "/"):
            yield f"header {name}: {ours} is not at {self.client.endpoint}"

    def learn(self, theirs, ours):
        """Takes our ids of jobs and recovery points for the recorded ones. The second half is of another day."""
        if not isinstance(theirs, dict) or not isinstance(ours, dict):
            return
        job = theirs.get("jobId") or (theirs.get("properties") or {}).get("jobId")
        our_job = ours.get("jobId") or (ours.get("properties") or {}).get("jobId")
        if job and our_job:
            self.names[job.rsplit("/", 1)[-1]] = our_job.rsplit("/", 1)[-1]
        made, ours_made = self.point_made(theirs), self.point_made(ours)
        if made and ours_made:
            self.names[made] = ours_made
        for point, our_point in zip(theirs.get("value") or [], ours.get("value") or []):
            if "recoveryPointId" in point["properties"]:
                self.names[point["name"]] = our_point["name"]

    @staticmethod
    def point_made(body):
        """The recovery point that a job says it made."""
        made = ((body.get("properties") or {}).get("extendedInfo") or {}).get("targetRecoverPoint")
        return made and made["recoveryPointID"]

    def expected(self, exchange):
        """The recorded body with our names, and with what design says we do otherwise."""
        body = translate(exchange["resp"], self.names)
        if exchange["method"] != "PUT":
            # Whoever reads an instance whose operation has succeeded finds it protected; Azure's follows later.
            body = json.loads(json.dumps(body).replace('"ConfiguringProtection"', '"ProtectionConfigured"'))
        return body
