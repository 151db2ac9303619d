"""Who ends where: ``python bench/endings.py [FIRST LAST]``.

Solves the problems of ``tests/endings.py`` by every solver to a relative gap of 1e-8, and prints a line for each that a
solver called converged though it was not, for each that "auto" did not solve though another did, and for each on which
it took more than three times as long (and 20 ms more); then how many each solved.
"""

import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import conftest  # noqa: E402, F401  (the cache of kernels)
from endings import SOLVERS, ends, problem  # noqa: E402

TOL = 1e-8


def main(first=0, last=600):
    counts = Counter()
    for seed in [*range(first, min(first + 20, last)), *range(first, last)]:  # the first twice: compiled, or loaded
        given = problem(seed)
        found = ends(given)
        best = min((end.seconds for end in found.values() if end.solution.converged), default=None)
        about = f"{seed}: {given.X.shape}, {given.y.max() + 1} classes, C = {given.C:.0e}"
        for name, end in found.items():
            ending = f"{name} {end.solution.status.name}, gap {end.gap:.1e}, {1e3 * end.seconds:.0f} ms"
            if end.solution.converged and not end.gap <= TOL * 1.01 + 1e-15:
                print("WRONG", about, ending)
            if name == "auto" and best is not None and not end.solution.converged:
                print("short", about, ending)
            if name == "auto" and best is not None and end.seconds > 3 * best + 0.02:
                print("slow ", about, ending, f"where another took {1e3 * best:.0f}")
            counts[name] += end.solution.converged
            counts[name + " in all"] += 1
        sys.stdout.flush()
    print(", ".join(f"{name} {counts[name]} of {counts[name + ' in all']}" for name in SOLVERS))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
