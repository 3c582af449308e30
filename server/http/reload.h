/* What both daemons need on SIGHUP: to tell whether a new configuration differs in a key that only
 * a restart can change. Called by the daemons' reload and by tests. */
#ifndef SERVER_HTTP_RELOAD_H
#define SERVER_HTTP_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

/* Two configurations as libcyaml writes them: block style, one key per line, lists below their key.
 * True when they differ; `key` is then the first key that does, with those above it
 * ("signer.id"), cut to fit. Never any value: there may be a password in it. */
bool reload_differs(const char *before, size_t before_len, const char *after, size_t after_len,
                    char *key, size_t size);

#endif
