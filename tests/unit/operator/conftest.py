"""Adds this folder to the path for the builders: tests are not a package."""

import os
import sys

sys.path[:0] = [os.path.dirname(__file__)]
