/* The keys of the configuration file, their types and where in struct config they go. Defaults and
 * ranges are config.c's. */
#ifndef REGISTRY_CONFIG_SCHEMA_H
#define REGISTRY_CONFIG_SCHEMA_H

#include <cyaml/cyaml.h>

extern const cyaml_schema_value_t config_schema;

#endif
