# SPDX-License-Identifier: Apache-2.0
"""``python -m mrfcore`` is the command line."""

import sys

from mrfcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
