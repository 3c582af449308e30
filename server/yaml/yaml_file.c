#include "server/yaml/yaml_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libcyaml says, gathered into one line. */
struct complaint {
    char text[400];
    char key[64]; /* of "Unexpected key: …", or "" */
};

static void on_cyaml_log(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct complaint *complaint = context;
    size_t used = strlen(complaint->text);
    char line[200];

    (void)level;
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    text += strspn(text, " ");
    if (strcmp(text, "Backtrace:") == 0 || *text == '\0')
        return;
    (void)sscanf(text, "Unexpected key: %63s", complaint->key);
    snprintf(complaint->text + used, sizeof(complaint->text) - used, "%s%s", used > 0 ? "; " : "",
             text);
}

static const cyaml_config_t *cyaml_settings(cyaml_config_t *settings, struct complaint *complaint)
{
    *settings = (cyaml_config_t){
        .log_fn = complaint != NULL ? on_cyaml_log : NULL,
        .log_ctx = complaint,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS,
    };
    return settings;
}

/* libcyaml 1.3.1 says where the value before an unknown key ended; people want the key's own line.
 * 0 when it is not found. */
static unsigned line_of_key(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    size_t size = 0, len = strlen(key);
    unsigned number = 0, found = 0;
    char *line = NULL;

    while (file != NULL && found == 0 && getline(&line, &size, file) >= 0) {
        number++;
        for (const char *p = line; (p = strstr(p, key)) != NULL; p += len) {
            bool begins = p == line || strchr(" \t{,\"'", p[-1]) != NULL;
            const char *after = p + len + strspn(p + len, "\"' \t");

            if (begins && *after == ':' && memchr(line, '#', (size_t)(p - line)) == NULL)
                found = number;
        }
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return found;
}

static enum sticps_err refuse(const char *path, cyaml_err_t result,
                              const struct complaint *complaint, struct sticps_error *err)
{
    unsigned line = complaint->key[0] != '\0' ? line_of_key(path, complaint->key) : 0;

    if (result == CYAML_ERR_FILE_OPEN)
        return fail(err, STICPS_ERR_FILE, path, "the configuration cannot be read: %s",
                    strerror(errno));
    if (line > 0)
        return fail(err, STICPS_ERR_USAGE, path, "line %u: unknown key: %s", line, complaint->key);
    return fail(err, STICPS_ERR_USAGE, path, "%s (%s)", cyaml_strerror(result), complaint->text);
}

enum sticps_err yaml_load(const char *path, const cyaml_schema_value_t *schema, void **out,
                          struct sticps_error *err)
{
    struct complaint complaint = {"", ""};
    cyaml_config_t settings;
    cyaml_data_t *data = NULL;

    cyaml_err_t result =
        cyaml_load_file(path, cyaml_settings(&settings, &complaint), schema, &data, NULL);
    if (result != CYAML_OK)
        return refuse(path, result, &complaint, err);
    if (data == NULL) /* libcyaml is content with an empty file */
        return fail(err, STICPS_ERR_USAGE, path, "the file is empty");
    *out = data;
    return STICPS_OK;
}

enum sticps_err yaml_text(const void *data, const cyaml_schema_value_t *schema, char **text,
                          size_t *len, struct sticps_error *err)
{
    cyaml_config_t settings;

    if (cyaml_save_data(text, len, cyaml_settings(&settings, NULL), schema,
                        (cyaml_data_t *)(uintptr_t)data, 0) != CYAML_OK)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "the configuration cannot be compared");
    return STICPS_OK;
}

void yaml_free(void *data, const cyaml_schema_value_t *schema)
{
    cyaml_config_t settings;

    if (data != NULL)
        cyaml_free(cyaml_settings(&settings, NULL), schema, data, 0);
}
