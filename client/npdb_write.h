/* Turning settled rows into the portability file of npdb_format.h, and putting it on disk whole.
 * Called by npdb_build. */
#ifndef CLIENT_NPDB_WRITE_H
#define CLIENT_NPDB_WRITE_H

#include "client/npdb_format1.h"
#include "client/npdb_owners.h"
#include "client/npdb_rows.h"
#include "common/error.h"

/* The file in memory. Starts as zeros. */
struct npdb_image {
    unsigned char header[NPDB_HEADER_SIZE];
    unsigned char *section[NPDB_SECTIONS];
    size_t section_len[NPDB_SECTIONS]; /* bytes */
};

/* Lays the rows out. The order in which the owners were met is forgotten: owners that no row names
 * are left out, the others sorted, so that equal rows give equal bytes. The rows' owner indexes are
 * rewritten to the file's. STICPS_ERR_NO_MEMORY; STICPS_ERR_NPDB. */
enum sticps_err npdb_image_make(struct npdb_image *image, const struct npdb_owners *owners,
                                struct npdb_rows *blocks, struct npdb_rows *ports,
                                struct sticps_error *err) STICPS_MUST_CHECK;

void npdb_image_clear(struct npdb_image *image);

/* Writes it to a temporary file beside `path`, mode 0644, syncs, renames, syncs the folder.
 * STICPS_ERR_FILE; `path` is then as it was, unless only the last step failed. */
enum sticps_err npdb_image_write(const struct npdb_image *image, const char *path,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif
