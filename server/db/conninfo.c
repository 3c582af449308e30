#include "server/db/conninfo.h"

#include <stdio.h>
#include <string.h>

void conninfo_fill(struct conninfo *out, const char *conninfo, const char *application_name)
{
    static const struct {
        const char *keyword, *value;
    } defaults[] = {
        {"client_encoding", "UTF8"},  {"keepalives", "1"},       {"keepalives_idle", "10"},
        {"keepalives_interval", "5"}, {"keepalives_count", "3"}, {"tcp_user_timeout", "20000"},
    };
    size_t n = 0;
    memset(out, 0, sizeof(*out));
    for (; n < sizeof(defaults) / sizeof(defaults[0]); n++) {
        out->keywords[n] = defaults[n].keyword;
        out->values[n] = defaults[n].value;
    }
    out->keywords[n] = "fallback_application_name";
    out->values[n++] = application_name != NULL ? application_name : "sticps";
    out->keywords[n] = "dbname"; /* expanded: may hold every keyword */
    out->values[n++] = conninfo;
}

enum sticps_err conninfo_check(const char *conninfo, struct sticps_error *err)
{
    char *why = NULL;
    PQconninfoOption *parsed = PQconninfoParse(conninfo, &why);
    PQfreemem(why);
    if (parsed == NULL)
        return fail(err, STICPS_ERR_USAGE, "database",
                    "the connection string is not well formed; it is not repeated here because "
                    "it may hold a password");
    PQconninfoFree(parsed);
    return STICPS_OK;
}

void conninfo_session_sql(char *out, size_t size, unsigned statement_timeout_ms)
{
    snprintf(out, size,
             "SET statement_timeout = %u; SET timezone = 'UTC'; SET datestyle = 'ISO'; "
             "SET standard_conforming_strings = on; "
             "SET idle_in_transaction_session_timeout = 60000",
             statement_timeout_ms);
}

static void on_notice(void *arg, const PGresult *result)
{
    bool *ended = arg;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (ended != NULL && severity != NULL &&
        (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        *ended = true;
}

void conninfo_quiet(PGconn *conn, bool *ended)
{
    PQsetNoticeReceiver(conn, on_notice, ended);
}

void conninfo_error(const PGconn *conn, char *out, size_t size)
{
    const char *text = conn != NULL ? PQerrorMessage(conn) : "out of memory";
    snprintf(out, size, "%s", text != NULL ? text : "");
    size_t len = strlen(out);
    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == ' '))
        out[--len] = '\0';
    for (char *c = out; *c != '\0'; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
}
