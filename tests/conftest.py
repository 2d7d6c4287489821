"""What holds for all tests."""

import os

from tests import fuzzing  # noqa: F401 - registers its profile
from tests.buckets import bucket, faults, s3_endpoint  # noqa: F401 - fixtures for all

# Before torch is imported: idle threads that spin make two busy cores twice as slow.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Nothing outside this machine is told that tests are run.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# Prefect's console log would go to streams that the tests of the command line have closed.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
