/* Writing a mapping as CSV. Reading it is in bulk_map.h. */
#ifndef REGISTRY_BULK_CSV_H
#define REGISTRY_BULK_CSV_H

#include "common/json_doc.h"
#include "common/json_write.h"

/* {"1234":"https://…"} as RFC 4180 wants it: a heading, CRLF, quotes where they are needed. */
void bulk_write_csv(struct json_write *out, const struct json_doc *mapping);

#endif
