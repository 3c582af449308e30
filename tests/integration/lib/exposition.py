"""A strict reader of the Prometheus text format 0.0.4, written from its specification."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf|NaN)")
TYPES = {"counter", "gauge", "histogram"}


def _labels(text):
    """{name: value} of what stands between the braces."""
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        assert found, f"no label: {text[at:]!r}"
        assert found[1] not in labels, f"twice: {found[1]}"
        labels[found[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], found[2])
        at = found.end()
        if at < len(text):
            assert text[at] == "," and at + 1 < len(text), f"no comma: {text[at:]!r}"
            at += 1
    return labels


class Page:
    """Families by name; each {"type", "help", "samples": {(name, frozenset of labels): value}}."""

    def __init__(self, text):
        assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
        self.families = {}
        family = None
        lines = text[:-1].split("\n")
        for number, line in enumerate(lines):
            if line.startswith("# HELP "):
                name, _, words = line[7:].partition(" ")
                assert re.fullmatch(NAME, name) and words, line
                assert name not in self.families, f"the family {name} is opened twice"
                kind = lines[number + 1]
                assert kind.startswith(f"# TYPE {name} "), f"HELP without TYPE: {line}"
                family = self.families[name] = {"type": kind.rsplit(" ", 1)[1], "help": words, "samples": {}}
                assert family["type"] in TYPES, kind
                current = name
            elif line.startswith("# TYPE "):
                assert lines[number - 1].startswith(f"# HELP {line.split()[2]} "), f"TYPE without HELP: {line}"
            else:
                self._sample(current, family, line)
        for name, family in self.families.items():
            self._check_family(name, family)

    def _sample(self, current, family, line):
        found = SAMPLE.fullmatch(line)
        assert found, f"no sample: {line!r}"
        suffixes = ("_bucket", "_sum", "_count") if family["type"] == "histogram" else ("",)
        assert found[1] in [current + suffix for suffix in suffixes], f"{line!r} within {current}"
        assert NUMBER.fullmatch(found[3]), f"no number: {line!r}"
        key = (found[1], frozenset(_labels(found[2] or "").items()))
        assert found[2] != "", f"empty braces: {line!r}"
        assert key not in family["samples"], f"twice: {line!r}"
        family["samples"][key] = float(found[3].replace("Inf", "inf").replace("NaN", "nan"))

    @staticmethod
    def _check_family(name, family):
        """What the conventions demand of names and values."""
        if family["type"] == "counter":
            assert name.endswith("_total"), name
            assert all(v >= 0 and v == int(v) for v in family["samples"].values()), name
        else:
            assert not name.endswith("_total"), name
        if family["type"] == "histogram":
            Page._check_histogram(name, family["samples"])

    @staticmethod
    def _check_histogram(name, samples):
        series = {}
        for (sample, labels), value in samples.items():
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            one = series.setdefault(rest, {"buckets": []})
            if sample == name + "_bucket":
                one["buckets"].append((float(dict(labels)["le"].replace("+Inf", "inf")), value))
            else:
                assert rest == labels
                one[sample] = value
        for one in series.values():
            bounds, counts = zip(*one["buckets"])
            assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, bounds
            assert list(counts) == sorted(counts), counts
            assert counts[-1] == one[name + "_count"] and one[name + "_sum"] >= 0

    def value(self, sample, **labels):
        """The one sample of that name with these labels among its own; None when there is none."""
        found = [
            value
            for family in self.families.values()
            for (name, own), value in family["samples"].items()
            if name == sample and set(labels.items()) <= own
        ]
        assert len(found) <= 1, (sample, labels, found)
        return found[0] if found else None

    def total(self, sample, **labels):
        """The sum of all samples of that name with these labels among their own."""
        return sum(
            value
            for family in self.families.values()
            for (name, own), value in family["samples"].items()
            if name == sample and set(labels.items()) <= own
        )


def page_of(reply):
    """The page of an answer to GET /metrics, its media type checked."""
    assert reply.status == 200, (reply.status, reply.body)
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Page(reply.body.decode("utf-8"))
