/* Files for a web server to give out: each whole or not at all, also after a power cut. A file is
 * written beside its place, forced to the disk, and moved there; readers see the old or the new.
 * Readable by everybody whatever the umask. One writer for each folder. Callers: exporter,
 * sequence_floor. */
#ifndef REGISTRY_STATIC_FILE_H
#define REGISTRY_STATIC_FILE_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define STATIC_FILE_NAME 80

/* A file that is on the disk, but not yet in its place. */
struct static_file {
    int folder; /* descriptor; -1: nothing is prepared */
    char temporary[STATIC_FILE_NAME + 8], name[STATIC_FILE_NAME];
};

/* `path` is relative to the folder of the descriptor `root`, "a/b/name": folders that are missing
 * are made, links are not followed. `mtime` in Unix seconds; web servers make ETags of it.
 * STICPS_ERR_FILE, the text naming the path and why; nothing is left behind then. */
enum sticps_err static_file_prepare(int root, const char *path, const void *data, size_t len,
                                    time_t mtime, struct static_file *out,
                                    struct sticps_error *err) STICPS_MUST_CHECK;
/* Moves it to its place, for good: the folder is forced to the disk too. Ends the file either way.
 */
enum sticps_err static_file_commit(struct static_file *file,
                                   struct sticps_error *err) STICPS_MUST_CHECK;
/* Takes it back. Does nothing to one that is committed, or was never prepared ({.folder = -1}). */
void static_file_abort(struct static_file *file);

/* Both at once. */
enum sticps_err static_file_write(int root, const char *path, const void *data, size_t len,
                                  time_t mtime, struct sticps_error *err) STICPS_MUST_CHECK;
enum sticps_err static_file_remove(int root, const char *path, struct sticps_error *err)
    STICPS_MUST_CHECK; /* or is not there */

bool static_file_exists(int root, const char *path);

#endif
