/* Configuration files: YAML read by libcyaml under a schema that refuses unknown keys, with one
 * sentence for whatever is wrong. Called by the daemons' config, on one thread. */
#ifndef SERVER_YAML_YAML_H
#define SERVER_YAML_YAML_H

#include "common/error.h"

#include <cyaml/cyaml.h>
#include <stddef.h>

/* Reads the file into what `schema` describes, a pointer to a mapping. STICPS_ERR_FILE,
 * STICPS_ERR_USAGE; `where` is the file, the text names line and key. The caller frees *out
 * (yaml_free), whose texts come from malloc. */
enum sticps_err yaml_load(const char *path, const cyaml_schema_value_t *schema, void **out,
                          struct sticps_error *err) STICPS_MUST_CHECK;
void yaml_free(const cyaml_schema_value_t *schema, void *data); /* accepts NULL */

/* As libcyaml writes it, for reload_differs. The caller frees *text. */
enum sticps_err yaml_save(const cyaml_schema_value_t *schema, const void *data, char **text,
                          size_t *len, struct sticps_error *err) STICPS_MUST_CHECK;

/* A file name of the file at `path` starts at that file's folder. Replaces *file, which comes from
 * malloc; NULL stays NULL. */
enum sticps_err yaml_file_name(const char *path, char **file,
                               struct sticps_error *err) STICPS_MUST_CHECK;

#endif
