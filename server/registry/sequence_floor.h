/* The newest list of each kind that was ever seen, so that a database which was put back to an
 * earlier state is not published from: its next list would take a sequence that clients know with
 * other bytes, and they refuse that for good. Seen by this node, which keeps the list itself in a
 * file across restarts, and by witnesses (witness.h).
 *
 * Here are the marks; whether a database agrees with them, and until when, is sequence_check in
 * sql/. Any thread; locks inside. */
#ifndef REGISTRY_SEQUENCE_FLOOR_H
#define REGISTRY_SEQUENCE_FLOOR_H

#include "common/error.h"
#include "server/registry/published_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOOR_WITNESSES 8                   /* of one kind, at most */
#define FLOOR_SOURCES (1 + FLOOR_WITNESSES) /* this node is the first */

struct floor_mark {
    int64_t sequence; /* 0: nothing seen */
    char sha256[65];  /* of the JWS, hexadecimal */
    char source[300]; /* for people: who has seen it */
};

struct sequence_floor;

/* `directory` keeps the lists, and is made if it is missing (its parent is not); NULL: the memory
 * ends with the process. STICPS_ERR_FILE when it cannot be used, STICPS_ERR_STATE when a kept list
 * is damaged. */
enum sticps_err sequence_floor_new(const char *directory, struct sequence_floor **out,
                                   struct sticps_error *err) STICPS_MUST_CHECK;
void sequence_floor_free(struct sequence_floor *floor); /* accepts NULL */

/* The list kept, a new reference, or NULL: to be served until the database is heard. */
struct published_list *sequence_floor_kept(struct sequence_floor *floor, enum list_kind kind);

/* To be called before a list is served: marks and keeps it. When the file cannot be written, the
 * mark holds in memory, and an error is logged. Blocks for the disk. */
void sequence_floor_keep(struct sequence_floor *floor, struct published_list *list);

/* A witness (0 to FLOOR_WITNESSES - 1) shows this list. */
void sequence_floor_seen(struct sequence_floor *floor, enum list_kind kind, size_t witness,
                         const char *source, int64_t sequence, const char *sha256);

/* The marks of a kind; returns how many. */
size_t sequence_floor_marks(struct sequence_floor *floor, enum list_kind kind,
                            struct floor_mark out[FLOOR_SOURCES]);

/* Whether the last write of a file failed, for metrics. */
bool sequence_floor_failed(struct sequence_floor *floor);

#endif
