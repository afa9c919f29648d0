"""The program of a worker: it makes calls as jobs of a queue, and one of all workers leads."""

from workers.program import run_worker
