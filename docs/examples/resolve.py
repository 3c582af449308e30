#!/usr/bin/python3
"""Resolves called numbers from Python, through ctypes and nothing else: resolve.py STATE-DIR NPDB NUMBER...

STATE-DIR is where `sticps list fetch` or the agent keeps the list, NPDB a portability file (`sticps npdb build`)."""

import ctypes
import sys

lib = ctypes.CDLL("libsticps.so.0")


class Error(ctypes.Structure):  # struct sticps_error, whose size is part of the ABI
    _fields_ = [("code", ctypes.c_int), ("where", ctypes.c_char * 128), ("text", ctypes.c_char * 512)]


def declare(name, result, *arguments):
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments
    return function


pointer, text, error = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(Error)
options_new = declare("sticps_options_new", pointer)
options_free = declare("sticps_options_free", None, pointer)
set_state_dir = declare("sticps_options_set_state_dir", ctypes.c_int, pointer, text, error)
client_new = declare("sticps_client_new", ctypes.c_int, pointer, ctypes.POINTER(pointer), error)
client_free = declare("sticps_client_free", None, pointer)
set_npdb = declare("sticps_client_set_npdb", ctypes.c_int, pointer, ctypes.POINTER(text), ctypes.c_size_t, error)
list_load = declare("sticps_list_load", ctypes.c_int, pointer, ctypes.c_int, error)
answer_new = declare("sticps_answer_new", pointer)
answer_free = declare("sticps_answer_free", None, pointer)
resolve = declare("sticps_resolve", ctypes.c_int, pointer, text, pointer, error)
answer_url = declare("sticps_answer_url", text, pointer)
answer_tn = declare("sticps_answer_tn", text, pointer)
err_name = declare("sticps_err_name", text, ctypes.c_int)

LIST_CPS = 0  # enum sticps_list_kind


def check(code, err):
    if code != 0:
        sys.exit(f"{err_name(code).decode()}: {err.where.decode()}: {err.text.decode()}")


def main(state, npdb, *numbers):
    err, client, options = Error(), pointer(), options_new()
    check(set_state_dir(options, state.encode(), err), err)
    check(client_new(options, client, err), err)
    options_free(options)
    check(set_npdb(client, (text * 1)(npdb.encode()), 1, err), err)
    check(list_load(client, LIST_CPS, err), err)
    answer = answer_new()
    for number in numbers:
        code = resolve(client, number.encode(), answer, err)
        print(answer_tn(answer).decode() or number, err_name(code).decode(), answer_url(answer).decode())
    answer_free(answer)
    client_free(client)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
