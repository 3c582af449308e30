#include "client/report/report.h"

#include <stdlib.h>
#include <string.h>

json_t *report_text(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    char *copy = strdup(text);
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c > 0x7e)
            *c = '?';
    value = copy != NULL ? json_string(copy) : NULL;
    free(copy);
    return value;
}

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

json_t *report_answer(const char *number, const struct sticps_answer *answer,
                      const struct sticps_error *err)
{
    bool found = sticps_answer_reason(answer) == STICPS_OK;
    return json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:I, s:s, s:s, s:o}", "number",
                     report_text(number), "tn", text_or_null(sticps_answer_tn(answer)), "ported",
                     sticps_answer_ported(answer), "lrn", text_or_null(sticps_answer_lrn(answer)),
                     "carrier", text_or_null(sticps_answer_carrier(answer)), "spc",
                     text_or_null(sticps_answer_spc(answer)), "url",
                     text_or_null(sticps_answer_url(answer)), "sequence",
                     (json_int_t)sticps_answer_sequence(answer), "freshness",
                     sticps_freshness_name(sticps_answer_freshness(answer)), "code",
                     sticps_err_name(sticps_answer_reason(answer)), "detail",
                     report_text(found ? "" : err->text));
}

json_t *report_deliveries(const struct sticps_delivery *delivery)
{
    json_t *array = json_array();
    for (size_t i = 0; delivery != NULL && i < sticps_delivery_count(delivery); i++) {
        json_t *one = json_pack(
            "{s:s, s:s, s:i, s:i, s:o, s:o}", "url", sticps_delivery_url(delivery, i), "code",
            sticps_err_name(sticps_delivery_code(delivery, i)), "httpStatus",
            sticps_delivery_status(delivery, i), "tries", (int)sticps_delivery_tries(delivery, i),
            "problem", report_text(sticps_delivery_problem(delivery, i)), "detail",
            report_text(sticps_delivery_detail(delivery, i)));
        if (json_array_append_new(array, one) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
