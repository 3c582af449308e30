/* The table of all routes of sticps-registryd. */
#ifndef REGISTRY_ROUTES_H
#define REGISTRY_ROUTES_H

#include "server/http/router.h"

#include <stddef.h>

extern const struct route registry_routes[];
extern const size_t registry_routes_len;

#endif
