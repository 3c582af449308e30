#include "client/problem.h"

#include "common/strict_json.h"

#include <string.h>

static void copy(char *to, size_t room, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = 0;
    for (; text != NULL && text[len] != '\0' && len + 1 < room; len++)
        to[len] = text[len] >= 0x20 && text[len] <= 0x7e ? text[len] : '?';
    to[len] = '\0';
}

void problem_read(const struct fetch_answer *answer, struct problem *out)
{
    out->code[0] = out->detail[0] = '\0';
    json_t *root = strict_json_parse(answer->body, answer->body_len, STICPS_ERR_FETCH, NULL);
    const json_t *detail = json_object_get(root, "detail");
    copy(out->code, sizeof(out->code), json_object_get(root, "code"));
    copy(out->detail, sizeof(out->detail),
         json_is_string(detail) ? detail : json_object_get(root, "title"));
    json_decref(root);
}
