"""The service itself, with a hundred thousand instances: how fast it answers, what it costs while nothing happens, and how soon
what is due begins. The databases behind it are one of a few rows.

The instances are copies of one that was made as anybody makes one, written into the service's metadata while it is stopped: so
many requests would take an hour and say nothing that is asked here.
"""

import json
import re
import sqlite3
import subprocess
import time
import urllib.parse
import uuid
from datetime import datetime, timedelta, timezone

import bodies
from measure import tree_seconds

REQUEST_SECONDS = 20
REQUESTS_PER_SECOND = 2000
# Each asks for an instance of its own, a hundred times in a second.
CLIENTS = 20
IDLE_SECONDS = 20
DUE = 1000
# Until the time of the schedule: the service has to be running again by then.
LEAD_SECONDS = 90
BEGIN_SECONDS = 300
INSTANCES = "microsoft.dataprotection/backupvaults/backupinstances"


class Service:
    """Coffer with one protected instance and its copies."""

    def __init__(self, peer, count):
        self.coffer = peer.coffer
        peer._describe()
        peer._protect()
        self.day = peer.day
        self.metadata = self.coffer.data / "metadata.db"
        self.names = [f"copy{number:06}" for number in range(count)]

    def multiply(self, due_at):
        """Copies the instance; the first thousand of them follow a policy whose time is `due_at`."""
        policy = self.day.policy.replace("/weekly", "/soon")
        body = bodies.policy()
        trigger = body["properties"]["policyRules"][0]["trigger"]
        trigger["schedule"]["repeatingTimeIntervals"] = [f"R/{due_at:%Y-%m-%dT%H:%M:%S}+00:00/P1W"]
        self.day.client.put(policy, body, expect=(200,))
        self.coffer.stop()
        with sqlite3.connect(self.metadata) as db:
            db.row_factory = sqlite3.Row
            original = dict(db.execute("SELECT * FROM resources WHERE kind = ?", (INSTANCES,)).fetchone())
            schedule = dict(db.execute("SELECT * FROM schedule WHERE instance_key = ?", (original["key"],)).fetchone())
            resources, schedules = [], []
            for number, name in enumerate(self.names):
                row, times = dict(original), dict(schedule)
                content = json.loads(row["body"])
                content["$state"]["repositoryGuid"] = str(uuid.uuid4())
                row["id"] = f"{original['id'].rsplit('/', 1)[0]}/{name}"
                row["key"], row["name"] = row["id"].lower(), name
                times["instance"], times["instance_key"] = row["id"], row["key"]
                # As after the first look at the schedule, which every new instance has once.
                now_us = int(time.time() * 1e6)
                times.update(policy_key=self.day.policy.lower(), after_us=now_us, due_us=now_us + 6 * 86_400_000_000)
                if number < DUE:
                    content["properties"]["policyInfo"]["policyId"] = policy
                    times.update(policy_key=policy.lower(), due_us=int(due_at.timestamp() * 1e6))
                row["body"] = json.dumps(content)
                resources.append(row)
                schedules.append(times)
            insert(db, "resources", resources)
            insert(db, "schedule", schedules)
        db.close()
        self.day.client.close()
        self.coffer.port = urllib.parse.urlsplit(self.day.client.endpoint).port
        self.coffer.start()

    def idle(self):
        """Part of one processor that it takes while nothing happens."""
        before = tree_seconds(self.coffer.process.pid)
        time.sleep(IDLE_SECONDS)
        return (tree_seconds(self.coffer.process.pid) - before) / IDLE_SECONDS

    def answers(self):
        """Clients that each ask for an instance; their worst 50th and 99th percentile in milliseconds, and requests in a second."""
        client = self.day.client
        step = len(self.names) // CLIENTS
        running = []
        for name in self.names[step // 2 :: step][:CLIENTS]:
            url = f"{client.endpoint}{self.day.vault}/backupInstances/{name}?api-version=2024-04-01"
            command = ["hey", "-z", f"{REQUEST_SECONDS}s", "-c", "1", "-q", str(REQUESTS_PER_SECOND // CLIENTS)]
            # It takes the host for the server's name in TLS, where no port may stand.
            command += ["-host", urllib.parse.urlsplit(url).hostname, "-H", f"Authorization: Bearer {client.token()}", url]
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        half, worst, rate = 0.0, 0.0, 0.0
        for process in running:
            said = process.communicate()[0]
            others = [status for status in re.findall(r"\[(\d+)\]\s+\d+ responses", said) if status != "200"]
            if others or "[200]" not in said:
                raise RuntimeError(f"answers other than 200: {said}")
            half = max(half, 1000 * float(re.search(r"50% in ([\d.]+) secs", said)[1]))
            worst = max(worst, 1000 * float(re.search(r"99% in ([\d.]+) secs", said)[1]))
            rate += float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
        return half, worst, rate

    def begun(self, due_at):
        """Seconds from the time of the schedule until the first and the last of those that were due had begun."""
        deadline = due_at.timestamp() + BEGIN_SECONDS
        query = "SELECT min(started_us), max(started_us), count(*) FROM job WHERE instance_key LIKE '%/copy%'"
        while time.time() < deadline:
            with sqlite3.connect(f"file:{self.metadata}?mode=ro", uri=True) as db:
                first, last, count = db.execute(query).fetchone()
            db.close()
            if count >= DUE:
                return first / 1e6 - due_at.timestamp(), last / 1e6 - due_at.timestamp()
            time.sleep(1)
        raise RuntimeError(f"{count} of {DUE} had begun after {BEGIN_SECONDS} s")


def insert(db, table, rows):
    names = list(rows[0])
    values = ", ".join(f":{name}" for name in names)
    db.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})", rows)


def run(coffer, count, say):
    """Everything in turn; returns the table."""
    service = Service(coffer, count)
    due_at = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=LEAD_SECONDS)
    say(f"writing {count} instances …")
    service.multiply(due_at)
    say("asking for instances …")
    half, worst, rate = service.answers()
    idle = service.idle()
    say("waiting for what is due …")
    first, last = service.begun(due_at)
    lines = [
        "| what | |",
        "|---|---|",
        f"| GET of an instance, {CLIENTS} clients together {rate:.0f} requests/s: 50 %, 99 % of the slowest client | {half:.1f} ms, {worst:.1f} ms |",
        f"| processor while nothing happens | {100 * idle:.2f} % of one |",
        f"| {DUE} backups due at one moment: the first, the last has begun after | {first:.1f} s, {last:.1f} s |",
    ]
    return "\n".join(lines) + "\n"
