"""The manual pages of the library and its headers, read as C: what each declares, and the pages' examples."""

import re

from .pki import ROOT

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
