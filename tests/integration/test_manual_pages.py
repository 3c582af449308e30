"""Section 3 of the manual against the headers and the exported symbols: nothing missing, nothing more, nothing other."""

import re
import subprocess

import pytest
from lib import manual
from lib.manual import PAGES
from lib.pki import ROOT

HEADERS = manual.of_headers()
EXPORTS = [line for line in (ROOT / "tests/unit/exports.txt").read_text().split("\n") if line and line[0] != "#"]
# told by the words of their page, one by one, rather than in its SYNOPSIS
TOLD = ("enum sticps_err", "enum sticps_event", "enum sticps_npdb_figure", "enum sticps_npdb_build_option",
        "enum sticps_npdb_stage")


def title(page):
    return page.stem


def test_every_symbol_has_its_page():
    where = {}
    for page in PAGES:
        for name in manual.of_page(page):
            where.setdefault(name, []).append(page.name)
    missing = sorted((set(EXPORTS) | set(HEADERS)) - set(where) - set(TOLD))
    assert not missing, f"add to the NAME, SYNOPSIS and DESCRIPTION of a page in docs/man/*.3: {', '.join(missing)}"
    twice = {name: pages for name, pages in where.items() if len(pages) > 1}
    assert not twice, f"each symbol has one page; take it out of the others: {twice}"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_synopsis_is_the_headers(page):
    declared = manual.of_page(page)
    assert declared, f"{page.name}: nothing is declared in the SYNOPSIS"
    for name, text in declared.items():
        assert name in HEADERS, f"{page.name} declares {name}, which no header has: take it out"
        assert text == HEADERS[name], f"{page.name}: write {name} as the header has it"
    functions = [name for name, text in declared.items() if " " not in name and not text.startswith("typedef")]
    assert sorted(set(manual.names(page)) - {title(page)}) == sorted(set(functions) - {title(page)}), (
        f"{page.name}: NAME and SYNOPSIS name different functions")


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_name_in_a_page_exists(page):
    text = manual.plain(page.read_text().partition(".SH NAME")[2])
    macros = [macro for header in manual.HEADERS for macro in re.findall(r"^#define (\w+)", header.read_text(), re.M)]
    code = " ".join([*HEADERS.values(), *macros])
    for name in set(re.findall(r"\b(?:sticps_|STICPS_)\w+\b", text)):
        known = re.search(rf"\b{name}\b", code) or name in [title(other) for other in PAGES]
        # a family of constants, and what the examples print
        assert known or name in ("STICPS_ERR_", "sticps_events_total"), f"{page.name} names {name}, which there is not"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_function_is_told_about(page):
    body = re.sub(r"^\.EX\n.*?^\.EE$", "", page.read_text(), flags=re.M | re.S).partition(".SH DESCRIPTION")[2]
    for name in manual.of_page(page):
        if " " not in name and not name.endswith("_fn"):
            assert re.search(rf"\b{name}\b", body), f"{page.name}: the DESCRIPTION does not say what {name} does"


def test_every_constant_is_told_about():
    body = "".join(page.read_text() for page in PAGES)
    for name, text in HEADERS.items():
        for constant in re.findall(r"\bSTICPS_\w+", text) if name.startswith("enum ") else ():
            assert re.search(rf"\b{constant}\b", body), f"no page in docs/man/*.3 names {constant} of {name}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs/man").iterdir()), ids=lambda page: page.name)
def test_pages_are_well_formed(page):
    said = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True, text=True, check=False).stdout
    # pages have no date of their own: they are those of the source that they are in
    said = [line for line in said.splitlines() if "missing date" not in line]
    assert not said, "\n".join(said)


def test_man_finds_every_function(bin_dir, tmp_path):
    done = subprocess.run(["cmake", "--install", bin_dir.parent, "--prefix", tmp_path], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    folder = next(tmp_path.rglob("man3"))
    for name in [*EXPORTS, *map(title, PAGES)]:
        page = folder / f"{name}.3"
        assert page.exists(), f"man {name} would find nothing: is it in the NAME of its page?"
        link = re.fullmatch(r"\.so man3/(\w+\.3)\n", page.read_text())
        assert name in manual.names(folder / link[1] if link else page)
    assert {page.stem for page in folder.iterdir()} == {*EXPORTS, *map(title, PAGES)}


def test_the_reader_of_declarations():
    header = """
    #define STICPS_EXPORT \\
        x
    extern "C" {
    struct a; /* int f(void); */
    enum b { ONE, /* 1 */ TWO, };
    STICPS_EXPORT const char *
    f(struct a *a, void (*g)(int)) STICPS_MUST_CHECK;
    typedef void g(int x,
                   int y);
    }
    """
    assert manual.declarations(header) == {
        "enum b": "enum b { ONE, TWO };", "f": "const char *f(struct a *a, void (*g)(int));",
        "g": "typedef void g(int x, int y);"}
    assert manual.plain(r"a\->b \(aq\en\(aq") == r"a->b '\n'"
