/* What sets two lists of one kind apart, and the brake: the rule by which a list that has lost too
 * many entries waits for a person (docs/decisions/34). Pure; callers: publication,
 * brake, publisher, publish_command. */
#ifndef REGISTRY_LIST_DIFF_H
#define REGISTRY_LIST_DIFF_H

#include "common/error.h"
#include "server/registry/config.h"
#include "server/registry/published_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ca_set;
struct signed_list;

/* One entry: SPC and URL of a cpsMapping; fingerprint (SHA-256 of the DER, hexadecimal) and subject
 * of a trustList, where the value may be NULL. Borrowed texts. */
struct list_item {
    const char *key, *value;
};

/* The entries of a list, sorted by key (strcmp), each once. */
struct list_items {
    struct list_item *items;
    size_t len;
};

/* What a published list says. */
struct list_content {
    int64_t sequence;
    struct list_items list;
    struct signed_list *parsed; /* what the items borrow from */
    struct ca_set *cas;
};

/* Reads a list of ours; its signature is not checked. STICPS_ERR_STATE when it is none. The caller
 * owns *out (list_content_free). */
enum sticps_err list_content_parse(enum list_kind kind, const char *jws, size_t len,
                                   struct list_content **out,
                                   struct sticps_error *err) STICPS_MUST_CHECK;
void list_content_free(struct list_content *content); /* accepts NULL */

/* ---- differences ---- */

enum list_change { LIST_SAME, LIST_ADDED, LIST_CHANGED, LIST_REMOVED };

/* A walk over both, in the order of the keys; begin with {before, after}. A value of NULL never
 * counts as changed. */
struct list_walk {
    const struct list_items *before, *after;
    size_t before_at, after_at;
};

/* The next key, with what it has in either; false at the end. Where a side has none its pointer is
 * NULL. */
bool list_walk_next(struct list_walk *walk, enum list_change *change,
                    const struct list_item **before, const struct list_item **after);

/* ---- the brake ---- */

#define LIST_CONFIRM_SIZE 17

struct list_loss {
    size_t lost, of;                 /* entries gone, of so many in the list before */
    char confirm[LIST_CONFIRM_SIZE]; /* names exactly the entries that are gone, and the kind */
};

/* Counts and names what `after` has lost against `before`. */
enum sticps_err list_loss_count(enum list_kind kind, const struct list_items *before,
                                const struct list_items *after, struct list_loss *out,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* More than brake->entries are lost, and more than brake->percent of a hundred? */
bool list_brake_holds(const struct config_brake *brake, const struct list_loss *loss);

#endif
