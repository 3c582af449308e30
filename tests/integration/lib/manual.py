"""The manual pages of the library and its headers, read as C: what each declares, and the pages' examples."""

import os
import re
import subprocess

from .pki import ROOT
from .process import run

PAGES = sorted((ROOT / "docs/man").glob("*.3"))
HEADERS = sorted((ROOT / "include/sticps").glob("*.h"))
_ROFF = {r"\-": "-", r"\e": "\\", r"\(aq": "'", r"\(ga": "`", r"\(ha": "^", r"\(ti": "~"}


def plain(roff):
    """Roff's escapes as the characters that they print."""
    return re.sub(r"\\(-|e|\(\w\w)", lambda found: _ROFF.get(found[0], found[0]), roff)


def declarations(code):
    """{name: declaration} of C code: functions and callback types by their name, `struct x` and `enum x` that are
    defined here by both words. White space, comments and attributes are taken out."""
    code = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
    code = re.sub(r"^[ \t]*#(?:\\\n|.)*$", "", code, flags=re.M)
    code = re.sub(r'extern "C" \{|\bSTICPS_(?:EXPORT|MUST_CHECK)\b|\bSTICPS_PRINTF\([^)]*\)', "", code)
    found, start, depth = {}, 0, 0
    for at, sign in enumerate(code):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:  # the end of extern "C"
            start, depth = at + 1, 0
        elif sign == ";" and depth == 0:
            text, start = " ".join(code[start : at + 1].split()), at + 1
            text = re.sub(r"\* (?=\w)", "*", text).replace(" ;", ";").replace(", }", " }").replace("( ", "(")
            name = re.match(r"(?:struct|enum) \w+(?= \{)", text) or re.search(r"\w+(?=\()", text)
            if name:
                assert name[0] not in found, f"{name[0]} is declared twice"
                found[name[0]] = text
    return found


def of_headers():
    found = {}
    for header in HEADERS:
        found.update(declarations(header.read_text()))
    return found


def section(page, title):
    found = re.search(rf"^\.SH {title}\n(.*?)(?=^\.SH |\Z)", page.read_text(), re.M | re.S)
    return found[1] if found else ""


def of_page(page):
    lines = [line for line in section(page, "SYNOPSIS").splitlines() if not line.startswith(".")]
    return declarations(plain("\n".join(lines)))


def names(page):
    """What the page says that it is about, as man(1) finds it."""
    return plain(section(page, "NAME")).partition(" - ")[0].strip().split(", ")


def examples(page):
    """The programs of a page, as a reader copies them."""
    return [plain(text) for text in re.findall(r"^\.EX\n(.*?)^\.EE$", page.read_text(), re.M | re.S)]


EXAMPLES = {page.stem: code for page in PAGES for code in examples(page)}
EXAMPLES |= {source.stem: source.read_text() for source in (ROOT / "docs/examples").glob("*.c")}

# What a reader's own machine does not need: the servers here are on loopback, have a TLS root of their own, and
# share the machine with other tests.
LAB = """
#include <sticps/sticps.h>
#include <stdlib.h>
static inline struct sticps_options *lab_options_new(void)
{
    struct sticps_options *options = sticps_options_new();
    sticps_options_set_lab(options, true);
    sticps_options_set_deliver_timeout(options, 20000);
    if (sticps_options_add_tls_ca_file(options, getenv("LAB_TLS_CA"), NULL) != STICPS_OK)
        abort();
    return options;
}
#define sticps_options_new lab_options_new
"""


class Examples:
    """Compiles each example as it stands, against the library as it is installed, and runs it."""

    def __init__(self, build, folder, pki):
        self.dir, self._pki = folder, pki
        prefix = folder / "prefix"
        done = subprocess.run(["cmake", "--install", build, "--prefix", prefix], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (folder / "lab.h").write_text(LAB)
        self._libdir = next(prefix.rglob("libsticps.so")).parent
        self._flags = subprocess.run(
            ["pkg-config", f"--define-variable=prefix={prefix}", f"--define-variable=libdir={self._libdir}",
             f"--define-variable=includedir={prefix}/include", "--cflags", "--libs", "sticps"],
            env={**os.environ, "PKG_CONFIG_PATH": str(self._libdir / "pkgconfig")}, capture_output=True, text=True, check=True,
        ).stdout.split()
        sanitize = re.search(r"^STICPS_SANITIZE:STRING=(.+)$", (build / "CMakeCache.txt").read_text(), re.M)
        if sanitize:
            self._flags.append(f"-fsanitize={sanitize[1]}")

    def __call__(self, name, *arguments, input=None):
        program = self.dir / name
        if not program.exists():
            program.with_suffix(".c").write_text(EXAMPLES[name])
            built = subprocess.run(
                ["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-include", self.dir / "lab.h",
                 program.with_suffix(".c"), "-o", program, *self._flags], capture_output=True, text=True, check=False)
            assert built.returncode == 0, f"the example of {name} does not compile:\n{built.stderr}"
        return run([program, *arguments], input=input,
                   env={"LD_LIBRARY_PATH": str(self._libdir), "LAB_TLS_CA": str(self._pki.tls_ca)})
