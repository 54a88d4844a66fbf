"""`python -m negset_jobs` is `negset`."""

import sys

from negset_jobs.cli import main

sys.exit(main())
