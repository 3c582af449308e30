/* A list's state as JSON, format 1 (docs/state-format.md), and back. Pure. Called by list_store. */
#ifndef CLIENT_LIST_JSON_H
#define CLIENT_LIST_JSON_H

#include "client/list_state.h"

/* The caller frees *out. */
enum sticps_err list_json_write(const struct list_state *state, char **out, size_t *len,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* STICPS_ERR_STATE for whatever list_json_write would not have written, a wrong hash included. */
enum sticps_err list_json_read(const char *text, size_t len, struct list_state *out,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* The same, in place: `text`, from malloc and with a NUL at its end, is taken over in any case. */
enum sticps_err list_json_take(char *text, size_t len, struct list_state *out,
                               struct sticps_error *err) STICPS_MUST_CHECK;

#endif
