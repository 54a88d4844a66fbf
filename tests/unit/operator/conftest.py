"""Puts the builders of this folder on the path: tests are not a package."""

import os
import sys

sys.path[:0] = [os.path.dirname(__file__)]
