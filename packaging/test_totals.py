"""Adds up the runners' JUnit reports: usage test_totals.py RESULTS RUNNER...

Prints what failed, then "N passed, N failed" alone on the last line. Exit 1 when anything failed, or when a
runner that should have run left no report or ran nothing."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def read(path):
    """(passed, failed names, skipped) of one report."""
    passed, failed, skipped = 0, [], 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')} {case.get('name', '')}".strip()
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed.append(name)
        elif case.find("skipped") is not None or case.get("status") in ("disabled", "notrun"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main():
    results, runners = Path(sys.argv[1]), sys.argv[2:]
    passed, failed = 0, []
    if (results / "coverage.xml").exists():
        runners.append("coverage")
    for runner in runners:
        try:
            ok, bad, skipped = read(results / f"{runner}.xml")
        except (OSError, ElementTree.ParseError) as error:
            ok, bad, skipped = 0, [f"{runner}: no report ({error})"], 0
        if ok + len(bad) == 0:
            bad = [f"{runner}: nothing ran"]
        print(f"{runner}: {ok} passed, {len(bad)} failed, {skipped} skipped")
        passed += ok
        failed += bad
    for name in failed:
        print(f"FAILED {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
