"""Run a module and print the peak resident memory of its process: `python -m benchmarks.peak_memory MODULE ...`."""

import atexit
import resource
import runpy
import sys


def _report() -> None:
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB", file=sys.stderr, flush=True)


if __name__ == "__main__":
    atexit.register(_report)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__")
