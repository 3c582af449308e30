/* A daemon's configuration file, read by a libcyaml schema. An unknown key, a missing key, an alias
 * and a value of the wrong type are errors that name key and line. Callers: the config modules of
 * the daemons. */
#ifndef SERVER_YAML_FILE_H
#define SERVER_YAML_FILE_H

#include "common/error.h"

#include <cyaml/cyaml.h>
#include <stddef.h>

/* `schema` is one with a pointer at its top. *out is ended by yaml_free; its texts are malloc'd one
 * by one, so that one may be freed and replaced. STICPS_ERR_FILE when the file cannot be read,
 * STICPS_ERR_USAGE for what does not fit the schema; `where` is the path, the text leaves it out.
 */
enum sticps_err yaml_load(const char *path, const cyaml_schema_value_t *schema, void **out,
                          struct sticps_error *err) STICPS_MUST_CHECK;

/* The same data as text, to be compared. The caller frees *text. */
enum sticps_err yaml_text(const void *data, const cyaml_schema_value_t *schema, char **text,
                          size_t *len, struct sticps_error *err) STICPS_MUST_CHECK;

void yaml_free(void *data, const cyaml_schema_value_t *schema); /* accepts NULL */

#endif
