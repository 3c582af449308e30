/* The settings of the configuration file that can stand on the command line, under the names that
 * `sticps` knows them by: for a try, or in place of a file. Called by main; config lays them over
 * the file, at the start and at each reload. */
#ifndef SERVER_AGENT_FLAGS_H
#define SERVER_AGENT_FLAGS_H

#include "common/error.h"
#include "server/agent/config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

#define AGENT_MAX_FLAGS 256

/* What the command line said, in its order. Values are borrowed from argv. */
struct agent_flags {
    struct {
        int flag; /* which, of the table */
        const char *value;
    } items[AGENT_MAX_FLAGS];
    size_t len;
};

/* For getopt_long: `own` options first, then the flags, whose `val` is theirs alone. `out` has room
 * for AGENT_MAX_OPTIONS and ends with an entry of zeroes. */
#define AGENT_MAX_OPTIONS 32
void agent_flags_options(const struct option *own, size_t own_len, struct option *out);
/* Notes what getopt_long returned; false when it is none of these, or there are too many. */
bool agent_flags_note(struct agent_flags *flags, int option, const char *value) STICPS_MUST_CHECK;

/* Lists grow, single values are replaced. STICPS_ERR_USAGE for a value that is no number. */
enum sticps_err agent_flags_apply(const struct agent_flags *flags, struct agent_config *config,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif
