"""The mutation check's own ground: every check of the acceptance path is known, so that none is added without a mutant.

The mutants themselves are tried by hand: `tests/attack/mutate` (README.md)."""

import subprocess
from pathlib import Path

import pytest
from mutants import Source

HERE = Path(__file__).resolve().parent


def test_every_check_has_its_mutant():
    done = subprocess.run([HERE / "mutate", "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


SOURCE = """
static bool is_good(int a)
{
    return a > 1 && a < 9; /* if (a == 7) fail("in a comment") */
}

enum sticps_err judge(int a, int b, struct sticps_error *err)
{
    if (a < 0 || b < 0)
        return fail(err, STICPS_ERR_FORM, NULL, "if (a || b) return fail(");
    enum sticps_err rc = other(a);
    if (rc != STICPS_OK)
        return rc;
    if (rc == STICPS_OK)
        rc = next(b);
    if (a == b) {
        log();
        rc = fail(err, STICPS_ERR_FORM, NULL, "x");
    }
    if (a == 0)
        log();
    return fail(err, STICPS_ERR_FORM, NULL, "the last");
}
"""

LEFT_OUT = [
    "a < 0", "b < 0", "ignored: enum sticps_err rc = other(a)", "not done: rc = next(b);", "a == b", "a > 1", "a < 9",
    'fail(err, STICPS_ERR_FORM, NULL, "the last")',
]  # fmt: skip


def test_what_a_check_is():
    source = Source("x.c", SOURCE)
    text, following = source.write(10)
    assert [one.what for one in source.mutants] == LEFT_OUT
    assert following == 10 + len(LEFT_OUT)
    assert {one.function for one in source.mutants} == {"judge", "is_good"}
    assert "if ((STICPS_LIVES(10) && (a < 0)) || (STICPS_LIVES(11) && (b < 0)))" in text
    assert "return (!STICPS_LIVES(15) || (a > 1)) && (!STICPS_LIVES(16) || (a < 9));" in text
    assert 'return (!STICPS_LIVES(17) ? STICPS_OK : fail(err, STICPS_ERR_FORM, NULL, "the last"));' in text
    assert text.count("STICPS_LIVES") == len(LEFT_OUT)


def test_nothing_is_lost():
    """Without the mutants' words the text is the one that was read."""
    text, _ = Source("x.c", SOURCE).write(0)
    assert text.count("\n") == SOURCE.count("\n") + 2
    for word in ("/* if (a == 7)", '"if (a || b) return fail("', "log();"):
        assert text.count(word) == SOURCE.count(word)


def test_an_anchor_that_no_longer_fits():
    from mutations import ByHand

    for anchor in ("not in it", "STICPS_ERR_FORM"):
        with pytest.raises(ValueError, match="not once"):
            Source("x.c", SOURCE, [ByHand("x.c", anchor, "MUTANT", ("x",))])
