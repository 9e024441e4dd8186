"""The lifecycle again, through `azure-mgmt-dataprotection` as it was: scripts are not rewritten when a new client comes out.

`run` installs each version into a directory of its own, which here comes before the newest; a process of its own has only
one of them. Which versions those are says COFFER_CLIENTS_OLDER_SDKS, as `run` sets it.
"""

import os
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What a user's script does in its life; that a schedule is kept does not depend on the client.
WALK = [
    "test_lifecycle.Lifecycle.test_the_whole_day",
    "test_lifecycle.Lifecycle.test_backups_are_suspended_and_resumed",
    "test_lifecycle.Lifecycle.test_a_delete_without_soft_delete_leaves_nothing",
    "test_lifecycle.Lifecycle.test_a_vault_is_updated_and_listed",
    "test_lifecycle.Lifecycle.test_validation_names_what_is_wrong",
]
# Longest time for one version's walk.
LIMIT = 600

SAY_VERSION = "import azure.mgmt.dataprotection as sdk; print(sdk.__version__)"


class OlderSdks(unittest.TestCase):
    def walk(self, version):
        root = os.environ.get("COFFER_CLIENTS_OLDER_SDKS")
        if not root:
            self.skipTest("COFFER_CLIENTS_OLDER_SDKS names no directory with older clients")
        directory = Path(root) / version
        path = os.pathsep.join([str(directory), str(HERE)])
        environment = {**os.environ, "PYTHONPATH": path}
        said = self.python(environment, "-c", SAY_VERSION)
        # Else the newest would be tested three times, and nobody would know.
        self.assertEqual(said.stdout.strip(), version)
        run = self.python(environment, "-m", "unittest", *WALK)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn(f"Ran {len(WALK)} tests", run.stderr)

    def python(self, environment, *arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=HERE, env=environment, capture_output=True, text=True, timeout=LIMIT
        )

    def test_1_4_0(self):
        self.walk("1.4.0")

    def test_2_0_1(self):
        self.walk("2.0.1")


if __name__ == "__main__":
    unittest.main()
