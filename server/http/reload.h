/* What both daemons need on SIGHUP: the configurations that were read, kept until the end, and
 * whether a new one differs in a key that only a restart can change. Called by the daemons' reload,
 * on the main thread, and by tests. */
#ifndef SERVER_HTTP_RELOAD_H
#define SERVER_HTTP_RELOAD_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct reload;

/* `path` (of the configuration) is borrowed. `free_config` frees what reload_keep was given. */
enum sticps_err reload_new(const char *path, void (*free_config)(void *config), struct reload **out,
                           struct sticps_error *err) STICPS_MUST_CHECK;
/* Frees every configuration that was kept. Accepts NULL. */
void reload_free(struct reload *reload);
const char *reload_path(const struct reload *reload);
/* Takes over a configuration that is put in force. Other threads may go on looking at it after it
 * was replaced, so all are kept: a kilobyte for each reload. */
void reload_keep(struct reload *reload, void *config);

/* Two configurations as libcyaml writes them: block style, one key per line, lists below their key.
 * True when they differ; `key` is then the first key that does, with those above it
 * ("signer.id"), cut to fit. Never any value: there may be a password in it. */
bool reload_differs(const char *before, size_t before_len, const char *after, size_t after_len,
                    char *key, size_t size);

#endif
