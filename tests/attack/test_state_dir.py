"""The state directory: whatever is done to it, the floor is never silently forgotten."""

import fcntl
import json
import os
import subprocess
import threading

import pytest
from hostile import reply


def state_file(pa):
    return pa.state / "cps-list.json"


def damaged(pa):
    """Every use of a damaged state says STATE and names the file."""
    status, answer = pa.fetch()
    assert (status, answer["code"]) == (1, "STATE"), answer
    assert answer["where"] == str(state_file(pa))
    status, answer = pa.cli.json("list", "show", "--state", pa.state)
    assert (status, answer["code"]) == (1, "STATE"), answer
    status, answer = pa.cli.json("list", "reset", "--state", pa.state, "--to", "1")
    assert (status, answer["code"]) == (1, "STATE"), answer


DAMAGE = {
    "empty": lambda text: "",
    "half": lambda text: text[: len(text) // 2],
    "last byte": lambda text: text.rstrip()[:-1],
    "not JSON": lambda text: "hello",
    "another object": lambda text: "{}",
    "array": lambda text: "[]",
    "format": lambda text: text.replace('"format": 1', '"format": 2'),
    "floor below what was accepted": lambda text: text.replace('"floor": 5', '"floor": 4'),
    "floor gone": lambda text: text.replace('"floor": 5,', ""),
    "floor as text": lambda text: text.replace('"floor": 5', '"floor": "5"'),
    "floor twice": lambda text: text.replace('"floor": 5', '"floor": 1, "floor": 5'),
    "negative": lambda text: text.replace('"sequence": 5', '"sequence": -5'),
    "accepted gone": lambda text: edit(text, lambda state: state.pop("accepted")),
    "accepted empty": lambda text: edit(text, lambda state: state.update(accepted=[])),
    "accepted out of order": lambda text: edit(text, lambda state: state["accepted"].reverse()),
    "list changed": lambda text: edit(text, lambda state: state["held"].update(jws=state["held"]["jws"] + "A")),
    "hash changed": lambda text: edit(text, lambda state: state["held"].update(sha256="0" * 64)),
    "hash not hex": lambda text: edit(text, lambda state: state["held"].update(sha256="x" * 64)),
    "no source": lambda text: edit(text, lambda state: state["held"].pop("source")),
    "no signer": lambda text: edit(text, lambda state: state["held"].pop("signer")),
    "exp later than signed": lambda text: edit(text, lambda state: state["held"].update(exp=4102444800)),
    "held as text": lambda text: edit(text, lambda state: state.update(held="x")),
}


def edit(text, change):
    state = json.loads(text)
    change(state)
    return json.dumps(state)


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_found(pa, how):
    pa.take(pa.list(4))
    pa.take(pa.list(5))
    text = state_file(pa).read_text()
    broken = DAMAGE[how](text)
    assert broken != text
    state_file(pa).write_text(broken)
    damaged(pa)
    assert state_file(pa).read_text() == broken, "the evidence stays"
    state_file(pa).write_text(text)
    pa.refuse("ROLLBACK", 2, serve=pa.list(4))


def test_a_link_is_not_followed(pa, tmp_path):
    pa.take(pa.list(5))
    state_file(pa).rename(tmp_path / "elsewhere")
    state_file(pa).symlink_to(tmp_path / "elsewhere")
    damaged(pa)


def test_a_folder_in_place_of_the_file(pa):
    pa.take(pa.list(5))
    state_file(pa).unlink()
    state_file(pa).mkdir()
    damaged(pa)


def test_what_a_crash_leaves_does_no_harm(pa):
    """Death before the rename: a torn temporary file beside the whole old one."""
    pa.take(pa.list(5))
    (pa.state / "cps-list.json.tmp").write_text(state_file(pa).read_text()[:100])
    (pa.state / "cps-list.lock").touch()
    assert pa.held()["sequence"] == 5
    pa.refuse("ROLLBACK", 2, serve=pa.list(4))
    pa.take(pa.list(6))
    assert not (pa.state / "cps-list.json.tmp").exists()


def test_a_missing_folder_is_made(pa):
    pa.state = pa.state / "below"
    pa.take(pa.list(1))


def test_a_folder_that_cannot_be_made(pa, tmp_path):
    (tmp_path / "file").write_text("")
    pa.state = tmp_path / "file" / "state"
    pa.serve(pa.list(1))
    status, answer = pa.fetch()
    assert (status, answer["code"]) in ((1, "FILE"), (1, "STATE")), answer


def test_a_full_disk_changes_nothing(pa):
    """A file size limit stands for the full disk: the write fails midway, the old state stays whole."""
    pa.take(pa.list(5))
    before = state_file(pa).read_bytes()
    big = {f"{i:04}": "https://cps.example.com/" + "x" * 100 for i in range(5000)} | {
        "1234": "https://cps.example.com/cps/company/1234"
    }
    pa.serve(pa.list(6, big))
    script = 'ulimit -f 64; trap "" XFSZ; exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", pa.cli.program, "list", "fetch", "--url", pa.url, "--anchor", pa.anchor,
         "--state", pa.state, "--tls-ca", pa.pki.tls_ca, "--lab", "--json"],
        capture_output=True, text=True, check=False, env=pa.cli.env,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["code"] == "FILE"
    assert state_file(pa).read_bytes() == before
    assert pa.fetch()[0] == 0
    assert pa.held()["entries"] == 5000


def test_a_lock_that_is_never_given(pa):
    """Somebody hangs with the lock in his hand: nobody writes without it, and nobody waits for ever."""
    pa.take(pa.list(5))
    with open(pa.state / "cps-list.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = pa.refuse("STATE", 1, serve=pa.list(6))
        assert answer["where"] == str(pa.state / "cps-list.lock")
        assert pa.held()["sequence"] == 5, "reading needs no lock"
    pa.take(pa.list(6))


def test_many_writers(pa):
    """Twelve fetchers of lists that arrive in any order: the highest stays, and every exit has its reason."""
    lists = {n: pa.list(n) for n in range(1, 13)}
    for n, jws in lists.items():
        pa.server.routes[f"/list/{n}"] = reply(jws)
    outcomes = {}

    def one(n):
        outcomes[n] = pa.fetch(url=f"{pa.server.url}/list/{n}")

    threads = [threading.Thread(target=one, args=(n,)) for n in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes[12][0] == 0
    assert pa.held()["sequence"] == 12
    for status, answer in outcomes.values():
        assert (status, answer["code"]) in ((0, "OK"), (2, "ROLLBACK")), answer
    accepted = [row["sequence"] for row in json.loads(state_file(pa).read_text())["accepted"]]
    assert accepted == sorted(n for n, (status, _) in outcomes.items() if status == 0)


def test_history_is_bounded(pa):
    pa.take(pa.list(1000))
    state = json.loads(state_file(pa).read_text())
    state["accepted"] = [{"sequence": n, "sha256": "0" * 64} for n in range(1, 1000)] + state["accepted"]
    state_file(pa).write_text(json.dumps(state))
    pa.take(pa.list(1001))
    accepted = json.loads(state_file(pa).read_text())["accepted"]
    assert len(accepted) == 1000
    assert (accepted[0]["sequence"], accepted[-1]["sequence"]) == (2, 1001)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_state(pa):
    pa.take(pa.list(5))
    state_file(pa).chmod(0)
    damaged(pa)
