/* Is a portability file what a builder makes of its rows, to the byte? Checks what
 * docs/npdb-format.md demands beyond what opening a file has checked already: `sticps npdb verify`,
 * and tests of whatever writes such files. */
#ifndef CLIENT_TOOLS_VERIFY_H
#define CLIENT_TOOLS_VERIFY_H

#include "client/npdb_reader.h"

/* STICPS_ERR_NPDB: err->text says what is wrong and where, the first that was found;
 * STICPS_ERR_NO_MEMORY. Encodes every block again: about 10 us for each. */
enum sticps_err verify_file(const struct npdb *npdb, struct sticps_error *err) STICPS_MUST_CHECK;

#endif
