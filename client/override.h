/* The override table: carriers that provision their CPS under another code than the one their
 * numbers are assigned to (PROTOCOL section 7). CSV, one "from,to" a line, '#' starts a comment
 * line. Immutable and reference-counted; read at once, looked up without allocation. */
#ifndef CLIENT_OVERRIDE_H
#define CLIENT_OVERRIDE_H

#include "common/error.h"
#include "common/spc.h"

#include <stdbool.h>
#include <stddef.h>

struct override_table;

/* STICPS_ERR_FILE; STICPS_ERR_SPC for a line that is not two codes, or a code overridden twice. */
enum sticps_err override_table_load(const char *path, struct override_table **out,
                                    struct sticps_error *err) STICPS_MUST_CHECK;
enum sticps_err override_table_parse(const char *text, size_t len, const char *name,
                                     struct override_table **out,
                                     struct sticps_error *err) STICPS_MUST_CHECK;
struct override_table *override_table_ref(struct override_table *table); /* accepts NULL */
void override_table_unref(struct override_table *table);                 /* accepts NULL */

/* The code to look up instead, or `spc` itself. One step: an override is not overridden again.
 * `table` may be NULL. */
const struct spc *override_table_find(const struct override_table *table, const struct spc *spc);

#endif
