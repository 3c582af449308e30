"""Any implementation of the client, driven through the command protocol of README.md."""

import json
import os
from pathlib import Path

import pytest
from lib.process import run

OURS = Path(__file__).resolve().parent / "adapters" / "sticps"
NOT_OFFERED = 5


class Implementation:
    """`adapter`: the program that speaks the protocol. `ours`: its words are checked, not only its exit status."""

    def __init__(self, adapter, bin_dir):
        self.adapter = Path(adapter).resolve()
        self.ours = self.adapter == OURS
        self.env = {"STICPS": str(bin_dir / "sticps")}
        assert os.access(self.adapter, os.X_OK), f"{adapter} is no program that can be run"

    def argv(self, command, state, *args):
        return [str(part) for part in (self.adapter, command, state, *args)]

    def __call__(self, command, state, *args, under=(), env=None, timeout=60):
        """(exit status, the JSON object printed). `under`: a command line that goes before it (strace, faketime).
        What an implementation does not offer skips the test."""
        done = run([*under, *self.argv(command, state, *args)], env={**self.env, **(env or {})}, timeout=timeout)
        if done.returncode == NOT_OFFERED:
            pytest.skip(f"the implementation does not offer this: {command} {' '.join(map(str, args))}")
        assert done.returncode in range(NOT_OFFERED), done
        lines = done.stdout.strip().splitlines()
        try:
            answer = json.loads(lines[-1])
        except (IndexError, ValueError):
            raise AssertionError(f"{command}: the last line of standard output is no JSON object: {done}") from None
        if done.returncode != 0:
            answer = {"code": "", "detail": ""} | answer
        return done.returncode, answer
