"""The quickstart as newcomers run it, on a small sample and with the debug build."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import harness  # first: it says where the quickstart's modules are
from postgres import Server

# Longest walk: seconds where nothing else runs.
LIMIT = 600


class Quickstart(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="coffer-quickstart-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def walk(self, *arguments):
        command = [sys.executable, "-B", harness.ROOT / "samples" / "quickstart", "--binary", harness.BINARY]
        command += ["--data-dir", self.directory / "data", "--key-file", self.directory / "exported.key", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment)

    def test_a_throwaway_database(self):
        run = self.walk("--scale", "1")
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        self.assertEqual(run.stdout.count("all equal"), 2, run.stdout)
        self.assertIn("All done. How to go on:", run.stdout)
        self.assertEqual((self.directory / "exported.key").stat().st_mode & 0o777, 0o600)

    def test_a_database_of_ones_own_is_only_read(self):
        server = Server()
        self.addCleanup(server.stop)
        server.psql("postgres", "CREATE DATABASE mine")
        server.psql("mine", harness.SMALL)
        uri = server.database("mine").uri
        first = self.walk("--database", uri, "--no-restore")
        self.assertEqual((first.returncode, first.stderr), (0, ""), first.stdout)
        names = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"
        self.assertEqual(server.psql("postgres", names), "mine postgres")

        second = self.walk("--database", uri)
        self.assertEqual((second.returncode, second.stderr), (0, ""), second.stdout)
        self.assertIn("all equal", second.stdout)
        self.assertRegex(server.psql("postgres", names), r"^mine mine_restored_\w+ postgres$")
        self.assertNotIn(server.password, first.stdout + second.stdout)
        log = (self.directory / "data" / "serve.log").read_text()
        self.assertNotIn(server.password, log)

    def test_a_failure_is_one_clear_error(self):
        run = self.walk("--database", "postgres://nobody:secret@127.0.0.1:1/none")
        self.assertEqual(run.returncode, 1, run.stdout)
        self.assertEqual(run.stderr.count("error:"), 1, run.stderr)
        self.assertNotIn("Traceback", run.stderr)
        self.assertNotIn("secret", run.stdout + run.stderr)


if __name__ == "__main__":
    unittest.main()
