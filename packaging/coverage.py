"""Prints which share of the lines of server/ ran, by folder: coverage.py ROOT BUILD yes|no

With yes (a whole run) it leaves results/coverage.xml, a JUnit report whose one case fails below the floor."""

import json
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import quoteattr

FLOOR = 90.0


def main():
    root, build, whole = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "yes"
    summary = build / "results/coverage.json"
    subprocess.run(["gcovr", "-j", "2", "--root", str(root), "--object-directory", str(build), "--filter", f"{root}/server/",
                    "--json-summary", str(summary), str(build / "server")], check=True)
    folders = {}
    for one in json.loads(summary.read_text())["files"]:
        folder = folders.setdefault(str(Path(one["filename"]).parent), [0, 0])
        folder[0] += one["line_covered"]
        folder[1] += one["line_total"]
    ran, lines = (sum(column) for column in zip(*folders.values()))
    share = 100 * ran / lines
    for folder, (ran_here, lines_here) in sorted(folders.items()):
        print(f"coverage: {folder:16} {100 * ran_here / lines_here:5.1f} % of {lines_here} lines")
    print(f"coverage: {'server':16} {share:5.1f} % of {lines} lines")
    if whole:
        verdict = "" if share >= FLOOR else f"<failure message={quoteattr(f'{share:.1f} % < {FLOOR} %')}/>"
        (build / "results/coverage.xml").write_text(
            f'<testsuite><testcase classname="coverage" name="lines of server">{verdict}</testcase></testsuite>\n')


if __name__ == "__main__":
    main()
