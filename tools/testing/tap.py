# SPDX-License-Identifier: GPL-2.0
"""Print the results of a case in the Test Anything Protocol."""

import sys
import traceback


class Skip(Exception):
    """The whole case cannot run here; says why."""


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def line(self, passed, name, note=""):
        self.count += 1
        self.failed += not passed
        print(f"{'' if passed else 'not '}ok {self.count} - {name}{note}", flush=True)

    def check(self, passed, name, *details):
        """One test; the details are shown when it fails."""
        self.line(bool(passed), name)
        if not passed:
            self.note(*details)
        return bool(passed)

    def equal(self, seen, wanted, name):
        return self.check(seen == wanted, name, f"seen:   {seen!r}", f"wanted: {wanted!r}")

    def holds(self, function, name):
        """One test: the function raises nothing. Gives its result, or None."""
        try:
            result = function()
        except Exception as error:  # a fault in the data must not end the case
            self.check(False, name, f"{type(error).__name__}: {error}")
            return None
        self.check(True, name)
        return result

    def skip(self, name, reason):
        self.line(True, name, f" # SKIP {reason}")

    @staticmethod
    def note(*details):
        for detail in details:
            for text in str(detail)[:2000].splitlines():
                print(f"# {text}", flush=True)


def run(case):
    """Run a case, print its plan, and exit."""
    tap = Tap()
    try:
        case(tap)
    except Skip as reason:
        if not tap.count:
            print(f"1..0 # SKIP {reason}")
            sys.exit(0)
        tap.skip("the rest", reason)
    except Exception:
        tap.check(False, "the case runs to its end", traceback.format_exc())
    print(f"1..{tap.count}")
    sys.exit(tap.failed > 0)
