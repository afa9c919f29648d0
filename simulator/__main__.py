"""`python3 -m simulator`: the provider as a program of its own."""

import sys

from simulator.server import main

sys.exit(main())
