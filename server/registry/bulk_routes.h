/* The whole mapping of an account in one request: /api/v1/account/{sp}/cps, in (bulk_routes.c) and
 * out (bulk_export.c), as JSON, as RFC 9888 has it, and as CSV. Rules: sql/009_bulk.sql,
 * bulk_map.h. */
#ifndef REGISTRY_BULK_ROUTES_H
#define REGISTRY_BULK_ROUTES_H

#include <stdbool.h>

struct api;
struct request;

#define BULK_BODY_LIMIT (8u * 1024 * 1024)
#define BULK_MEDIA_TYPES "application/json, text/csv"

/* PUT. 422 tells all that is wrong with the entries, 403 all that are not the account's. */
void bulk_put(struct request *request);

/* GET with ?format=csv or rfc9888, or Accept: text/csv: the whole mapping in one answer. True when
 * it has taken the call over; false for the listing in pages. */
bool bulk_export(struct api *call, const char *sp);

#endif
