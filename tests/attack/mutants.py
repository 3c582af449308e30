"""Finds the checks of the acceptance path in the C sources, and writes sources in which each of them can be left out.

What counts as a check, one mutant each:

  if (A || B) <refusal>     A is left out, B is left out; a refusal is a body that fails (REFUSAL)
  if (rc != STICPS_OK) …    what the call before it found wrong is ignored
  if (rc == STICPS_OK)      the next check is not made at all
      rc = check(…);
  return A && B; A || B     in a predicate: A is left out, B is left out
  return fail(…);           where no condition stands before it: it says that all is well

and what mutations.py has by hand. The mutants are all in one build: the environment's STICPS_MUTANT says which one is
alive. The sources must be as clang-format leaves them; strings and comments are passed over."""

import re
from dataclasses import dataclass

CALLS = r"\b(?:fail|fail_openssl|fail_leaf|refuse|bad|bad_claim|bad_character|unreadable)\("
REFUSAL = re.compile(
    CALLS + r'|\breturn (?:false|-1|CURL_SOCKET_BAD|STICPS_ERR_\w+)\b|\breturn "|\btrouble\.\w+ = true'
)
IGNORED = re.compile(r"^\s*\(?(?:rc|code) != STICPS_OK\)?\s*$")
NEXT = re.compile(r"^\s*(?:rc|code) == STICPS_OK\s*(?:&&|$)")


@dataclass
class Mutant:
    file: str
    line: int
    function: str
    what: str  # the text that is left out
    refusal: str = ""  # what is done when it finds something
    number: int = 0

    def __str__(self):
        return f"{self.file}:{self.line} {self.function}: {self.what}"


def blank(text):
    """The text with comments and the contents of strings and characters blanked out, of the same length."""
    pattern = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|^#[^\n]*(?:\\\n[^\n]*)*', re.S | re.M)

    def hide(match):
        found = match.group()
        kept = found[0] + " " * (len(found) - 2) + found[-1] if found[0] in "\"'" else " " * len(found)
        return "".join("\n" if old == "\n" else new for old, new in zip(found, kept))

    return pattern.sub(hide, text)


def closing(text, at):
    """Where the bracket that opens at `at` closes."""
    pairs, depth = {"(": ")", "{": "}", "[": "]"}, 0
    for i in range(at, len(text)):
        if text[i] in pairs:
            depth += 1
        elif text[i] in pairs.values():
            depth -= 1
            if depth == 0:
                return i
    raise ValueError(f"a bracket is not closed: {text[at:at + 60]!r}")


def statement_end(text, at):
    """Just behind the statement that begins at `at`: a block, or up to its semicolon."""
    while text[at].isspace():
        at += 1
    if text[at] == "{":
        return closing(text, at) + 1
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] in "({[") - (text[i] in ")}]")
        if text[i] == ";" and depth == 0:
            return i + 1
    raise ValueError("a statement has no end")


def parts(text, begin, end, operator):
    """The operands of a top-level && or ||, as (begin, end)."""
    spans, depth, start, i = [], 0, begin, begin
    while i < end:
        depth += (text[i] in "({[") - (text[i] in ")}]")
        if depth == 0 and text.startswith(operator, i):
            spans.append((start, i))
            i += 2
            start = i
        else:
            i += 1
    spans.append((start, end))
    return [(a + len(text[a:b]) - len(text[a:b].lstrip()), b - len(text[a:b]) + len(text[a:b].rstrip()))
            for a, b in spans]  # fmt: skip


def functions(text):
    """(name, begin, end) of each function's body."""
    found = []
    for match in re.finditer(r"^\{$", text, re.M):
        head = text[: match.start()].rstrip()
        opening = len(head) - 1
        if not head.endswith(")"):
            continue  # a table
        depth = 0
        while True:
            depth += (head[opening] == ")") - (head[opening] == "(")
            if depth == 0:
                break
            opening -= 1
        name = re.search(r"(\w+)$", head[:opening])
        found.append((name.group(1), match.start(), closing(text, match.start()) + 1))
    return found


class Source:
    """One file: `mutants` and, after `write`, the text with all of them in it."""

    def __init__(self, file, text, by_hand=()):
        self.file, self.mutants, self._edits = file, [], []
        self.text = text
        self._hands = []
        for one in by_hand:
            if self.text.count(one.anchor) != 1:
                raise ValueError(f"{file}: {self.text.count(one.anchor)} times, not once: {one.anchor!r}")
            line = self.text.count("\n", 0, self.text.index(one.anchor)) + 1
            self._hands.append((one, line))
        self._blank = blank(self.text)
        self._functions = functions(self._blank)
        self._covered = []
        self._find()

    def _function_at(self, at):
        return next((name for name, begin, end in self._functions if begin <= at < end), "")

    def _add(self, begin, end, before, after, refusal=""):
        what, line = " ".join(self.text[begin:end].split()), self.text.count("\n", 0, begin) + 1
        self.mutants.append(Mutant(self.file, line, self._function_at(begin), what, refusal))
        self._edits.append((begin, end, before, after, self.mutants[-1]))

    def _statement_before(self, at):
        end = self._blank.rstrip(" \n").rfind(";", 0, at)
        return self.text[max(self._blank.rfind(one, 0, end) for one in ";{}") + 1 : end]

    def _find(self):
        code = self._blank
        for match in re.finditer(r"\bif \(", code):
            opening = match.end() - 1
            close = closing(code, opening)
            body = (close + 1, statement_end(code, close + 1))
            condition = code[opening + 1 : close]
            if IGNORED.match(condition) and "return" in code[slice(*body)]:
                self._add(opening + 1, close, "%d && (", ")")
                self.mutants[-1].what = "ignored: " + " ".join(self._statement_before(match.start()).split())
            elif REFUSAL.search(code[slice(*body)]):
                self._covered.append(body)
                for begin, end in parts(code, opening + 1, close, "||") if "?" not in condition else [(opening + 1, close)]:
                    self._add(begin, end, "(%d && (", "))", self.text[slice(*body)])
            elif NEXT.match(condition) and re.search(r"=\s*\w+\(", code[slice(*body)]):
                self._add(opening + 1, close, "%d && (", ")")
                self.mutants[-1].what = "not done: " + " ".join(self.text[slice(*body)].split())
        for match in re.finditer(r"\breturn ", code):
            end = statement_end(code, match.end()) - 1
            for operator, word in (("&&", "(!%d || ("), ("||", "(%d && (")):
                operands = parts(code, match.end(), end, operator)
                if len(operands) > 1 and "?" not in code[match.end() : end]:
                    for begin, stop in operands:
                        if not re.search(CALLS, code[begin:stop]):
                            self._add(begin, stop, word, "))")
                    break
        for match in re.finditer(CALLS, code):
            if code[: match.start()].endswith(("enum sticps_err ", "bool ")):
                continue  # its definition
            if any(begin <= match.start() < end for begin, end in self._covered):
                continue
            close = closing(code, match.end() - 1) + 1
            good = "true" if self.file.endswith("json_doc.c") and "refuse" in match.group() else "STICPS_OK"
            self._add(match.start(), close, f"(!%d ? {good} : ", ")", self.text[match.start() : close])

    def write(self, first):
        """The text in which mutant `first` and those after it can be brought to life, and the next free number."""
        inserts, number = [], first
        for begin, end, before, after, mutant in self._edits:
            mutant.number = number
            inserts.append((begin, 1, -end, before.replace("%d", f"STICPS_LIVES({number})")))
            inserts.append((end, 0, -begin, after))
            number += 1
        text, at, out = self.text, 0, []
        for position, _, _, what in sorted(inserts):
            out += [text[at:position], what]
            at = position
        text = "".join([*out, text[at:]])
        for one, line in self._hands:
            for name in one.names:
                at = self.text.index(one.anchor)
                self.mutants.append(Mutant(self.file, line, self._function_at(at), name, "", number))
                number += 1
            live = f"STICPS_MUTANT_INDEX({number - len(one.names)})"
            if text.count(one.anchor) != 1:
                raise ValueError(f"{self.file}: a check that is found by itself is in {one.anchor!r}")
            text = text.replace(one.anchor, one.replacement.replace("MUTANT", live))
        return '#include "tests/attack/mutant.h"\n#line 1\n' + text, number
