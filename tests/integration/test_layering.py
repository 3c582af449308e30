"""Dependencies run one way (docs/DESIGN.md): what may include what, read from the sources."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
OURS = ("common/", "client/", "server/", "include/", "sticps/", "tests/")

# folder → prefixes of our own headers that its files may include
ALLOWED = {
    "include": ("sticps/",),
    "common": ("common/", "sticps/error.h"),
    "client": ("client/", "common/", "sticps/"),
    "client/report": ("client/report/", "common/", "sticps/"),
    "server/http": ("server/http/", "common/", "sticps/error.h"),
    "server/db": ("server/db/", "common/", "sticps/error.h"),
    "server/yaml": ("server/yaml/", "common/", "sticps/error.h"),
    "server/sti": ("server/sti/", "server/http/", "common/", "sticps/"),
    "server/registry": ("server/registry/", "server/yaml/", "server/sti/", "server/http/", "server/db/", "common/", "sticps/"),
    "server/agent": ("server/agent/", "server/http/", "server/yaml/", "client/report/", "common/", "sticps/"),
    "server/cps": ("server/cps/", "server/yaml/", "server/sti/", "server/http/", "common/", "sticps/"),
}


def includes(path):
    """Our headers that a file includes, as paths from the root (or sticps/…)."""
    for quote, name in INCLUDE.findall(path.read_text()):
        if quote == '"' and not name.startswith(OURS):
            # relative to the including file
            target = (path.parent / name).resolve()
            yield target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else name
        elif name.startswith(OURS):
            yield name.removeprefix("include/")


def violations(folder, files, allowed):
    return [
        f"{path.relative_to(ROOT)} includes {name}"
        for path in files
        for name in includes(path)
        if not name.startswith(allowed)
    ]


def sources(folder):
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in (".c", ".h"))


@pytest.mark.parametrize("folder", ALLOWED)
def test_includes_run_one_way(folder):
    files = sources(folder)
    assert files, f"{folder} has no sources: the rule would hold of nothing"
    assert violations(folder, files, ALLOWED[folder]) == []


def test_every_source_is_under_a_rule():
    inside = {p for folder in ALLOWED for p in sources(folder)}
    everything = {p for top in ("include", "common", "client", "server") for p in sources(top)}
    assert everything - inside == set()


def test_common_knows_no_socket_thread_or_database():
    banned = ("sys/socket.h", "netinet/", "netdb.h", "pthread.h", "threads.h", "libpq", "curl/",
              "h2o", "urcu")
    found = [
        f"{path.relative_to(ROOT)} includes <{name}>"
        for path in sources("common")
        for _, name in INCLUDE.findall(path.read_text())
        if name.startswith(banned)
    ]
    assert found == []


def test_the_rule_can_fail():
    """The checker finds a breach: server/registry's headers are not allowed to client."""
    planted = ROOT / "client" / "planted.c"

    class Planted(type(planted)):
        def read_text(self, *_, **__):
            return '#include "server/registry/config.h"\n  #  include <server/db/pool.h>\n#include <stdio.h>\n'

    assert len(violations("client", [Planted(planted)], ALLOWED["client"])) == 2
