#include "server/registry/routes.h"

#include "server/registry/account_routes.h"
#include "server/registry/api.h"
#include "server/registry/auth_routes.h"
#include "server/registry/bulk_routes.h"
#include "server/registry/cps_routes.h"
#include "server/registry/key_routes.h"
#include "server/registry/list_routes.h"
#include "server/registry/publication_routes.h"
#include "server/registry/status_routes.h"
#include "server/registry/transparency_routes.h"
#include "server/registry/user_routes.h"

#define JSON "application/json"
#define OPEN(method, path, handler)                \
    {                                              \
        method, path, handler, 0, NULL, 0, 0, NULL \
    }
#define LIST(method, path, handler)                                     \
    {                                                                   \
        method, path, handler, ROUTE_AUTH, NULL, 0, API_ROLE_LIST, NULL \
    }
#define AUTH(method, path, handler)                         \
    {                                                       \
        method, path, handler, ROUTE_AUTH, NULL, 0, 0, NULL \
    }
#define OPEN_BODY(method, path, handler)           \
    {                                              \
        method, path, handler, 0, JSON, 0, 0, NULL \
    }
#define AUTH_BODY(method, path, handler)                    \
    {                                                       \
        method, path, handler, ROUTE_AUTH, JSON, 0, 0, NULL \
    }
/* No body belongs there, but {} does no harm. */
#define AUTH_EMPTY(method, path, handler)                                         \
    {                                                                             \
        method, path, handler, ROUTE_AUTH | ROUTE_BODY_OPTIONAL, JSON, 0, 0, NULL \
    }

/* One entry; a proof by STI certificate will do. Writing is counted by limits.writes_per_second. */
#define ENTRY(method, path, handler, type, write)                                  \
    {                                                                              \
        method, path, handler, ROUTE_AUTH, type, 0, API_ROLE_ENTRY | (write), NULL \
    }
/* Answered from memory, and nobody is to miss them: no limit of requests. */
#define FREE(method, path, handler)                              \
    {                                                            \
        method, path, handler, ROUTE_UNLIMITED, NULL, 0, 0, NULL \
    }
#define FREE_LIST(method, path, handler)                                                  \
    {                                                                                     \
        method, path, handler, ROUTE_AUTH | ROUTE_UNLIMITED, NULL, 0, API_ROLE_LIST, NULL \
    }

const struct route registry_routes[] = {
    FREE("GET", "/health", status_health),
    FREE("GET", "/ready", status_ready),
    FREE("GET", "/metrics", status_metrics),

    FREE_LIST("GET", "/api/v1/cps-list", cps_list_get_envelope),
    FREE_LIST("GET", "/download/v1/cps-list", cps_list_get_newest),
    LIST("GET", "/download/v1/cps-list/{sequence}", cps_list_get_earlier),
    FREE_LIST("GET", "/api/v1/ca-list", ca_list_get_envelope),
    FREE_LIST("GET", "/download/v1/ca-list", ca_list_get_newest),
    LIST("GET", "/download/v1/ca-list/{sequence}", ca_list_get_earlier),
    OPEN("GET", "/download/v1/certificate/{file}", list_get_certificate),
    FREE("GET", "/download/v1/crl", list_get_crl),

    LIST("GET", "/api/v1/transparency/head", transparency_head),
    LIST("GET", "/api/v1/transparency/inclusion", transparency_inclusion),
    LIST("GET", "/api/v1/transparency/consistency", transparency_consistency),

    OPEN_BODY("POST", "/api/v1/auth/login", auth_login),
    OPEN_BODY("POST", "/api/v1/auth/token", auth_token),
    AUTH_EMPTY("POST", "/api/v1/auth/logout", auth_logout),

    AUTH("GET", "/api/v1/account/{sp}/cps", cps_list_get),
    {"PUT", "/api/v1/account/{sp}/cps", bulk_put, ROUTE_AUTH, BULK_MEDIA_TYPES, BULK_BODY_LIMIT,
     API_ROLE_SP_WRITE, NULL},
    ENTRY("GET", "/api/v1/account/{sp}/cps/{spc}", cps_entry_get, NULL, 0),
    ENTRY("PUT", "/api/v1/account/{sp}/cps/{spc}", cps_entry_put, JSON, API_ROLE_SP_WRITE),
    ENTRY("DELETE", "/api/v1/account/{sp}/cps/{spc}", cps_entry_delete, NULL, API_ROLE_SP_WRITE),

    AUTH("GET", "/api/v1/account/{sp}", account_get),
    AUTH_BODY("PUT", "/api/v1/account/{sp}", account_put),
    AUTH_BODY("PUT", "/api/v1/account/{sp}/state", account_put_state),
    AUTH_EMPTY("PUT", "/api/v1/account/{sp}/spc/{spc}", account_spc_put),
    AUTH("DELETE", "/api/v1/account/{sp}/spc/{spc}", account_spc_delete),

    AUTH_BODY("PUT", "/api/v1/account/{sp}/user/{userId}", account_user_put),
    AUTH("DELETE", "/api/v1/account/{sp}/user/{userId}", account_user_delete),
    AUTH_BODY("PUT", "/api/v1/user/{userId}", pa_user_put),
    AUTH("DELETE", "/api/v1/user/{userId}", pa_user_delete),

    AUTH("GET", "/api/v1/account/{sp}/key", account_key_list),
    AUTH_BODY("POST", "/api/v1/account/{sp}/key", account_key_post),
    AUTH("DELETE", "/api/v1/account/{sp}/key/{keyId}", account_key_delete),
    AUTH("GET", "/api/v1/key", pa_key_list),
    AUTH_BODY("POST", "/api/v1/key", pa_key_post),
    AUTH("DELETE", "/api/v1/key/{keyId}", pa_key_delete),

    AUTH("GET", "/api/v1/publications", publications_get),
    AUTH_EMPTY("POST", "/api/v1/publications", publications_post),
    AUTH("GET", "/api/v1/audit", audit_get),
    AUTH("GET", "/api/v1/spc/{spc}/history", spc_history_get),
};
const size_t registry_routes_len = sizeof(registry_routes) / sizeof(registry_routes[0]);
