/* Files of the state directory: read whole, and replaced by another file that is written beside
 * them and renamed, so that whatever dies when, there is a whole old or a whole new one. Called by
 * list_store, x5u_store and audit. */
#ifndef CLIENT_STATE_FILE_H
#define CLIENT_STATE_FILE_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

/* "DIR/NAMESUFFIX"; NULL when out of memory. The caller frees. */
char *state_file_path(const char *dir, const char *name, const char *suffix);

/* At most `max` bytes of a regular file, no link; a NUL follows them. *text stays NULL when there
 * is no such file. STICPS_ERR_STATE. The caller frees *text. */
enum sticps_err state_file_read(const char *path, size_t max, char **text, size_t *len,
                                struct sticps_error *err) STICPS_MUST_CHECK;

enum state_file_way {
    STATE_FILE_DURABLE, /* synced, and the directory too; `temp` is the caller's, under a lock */
    STATE_FILE_CACHE,   /* not synced: what a power cut loses or tears is no loss; `temp` is new */
};

/* Replaces `path`, which is in `dir`, by way of `temp`. STICPS_ERR_FILE: `path` is as it was. */
enum sticps_err state_file_write(const char *dir, const char *path, const char *temp,
                                 const char *text, size_t len, enum state_file_way way,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

/* STICPS_ERR_FILE. */
enum sticps_err state_file_sync_dir(const char *dir, struct sticps_error *err) STICPS_MUST_CHECK;

/* Writes all of it; false with errno. */
bool state_file_write_all(int fd, const char *text, size_t len);

#endif
