/* Putting a portability file on disk: its sections one behind the other in pieces of any size, then
 * the header, and only then its name. Called by npdb_assemble. The file has no name while it is
 * written (on file systems that can do so, else one that ends in six random characters), so a
 * process that is killed leaves nothing; whoever maps the file that is replaced keeps it whole. */
#ifndef CLIENT_NPDB_WRITE_H
#define CLIENT_NPDB_WRITE_H

#include "client/npdb_format.h"
#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

struct npdb_output; /* one thread */

/* STICPS_ERR_FILE, STICPS_ERR_NO_MEMORY. The caller owns *out, until finish or abandon. */
enum sticps_err npdb_output_open(const char *path, struct npdb_output **out,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

/* Ends the section that was being written and begins the next, in the order of enum npdb_section;
 * the first is begun already. STICPS_ERR_FILE. */
enum sticps_err npdb_output_next_section(struct npdb_output *output,
                                         struct sticps_error *err) STICPS_MUST_CHECK;

/* Where in the file the next byte goes. */
uint64_t npdb_output_offset(const struct npdb_output *output);

/* STICPS_ERR_FILE. */
enum sticps_err npdb_output_add(struct npdb_output *output, const void *data, size_t len,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* What the header says beside where the sections are. */
struct npdb_output_head {
    uint64_t sequence, ports, blocks;
};

/* Ends the last section, writes the header, syncs, gives the file mode 0644 and its name, and syncs
 * the folder. Frees the output in any case. STICPS_ERR_FILE: `path` is as it was, unless only the
 * last step failed. */
enum sticps_err npdb_output_finish(struct npdb_output *output, const struct npdb_output_head *head,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* Frees the output and leaves nothing of it on disk. Accepts NULL. */
void npdb_output_abandon(struct npdb_output *output);

/* A new file in the folder of `path`, to write and to read, without a name. STICPS_ERR_FILE,
 * STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_unnamed_file(const char *path, int *fd,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif
