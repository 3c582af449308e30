#include "server/db/conninfo.h"

#include <stdio.h>
#include <string.h>

/* ---- several hosts ---- */

static const char *const host_keywords[] = {"host", "hostaddr", "port"};
enum { HOST_KEYWORDS = sizeof(host_keywords) / sizeof(host_keywords[0]) };

/* The value of a keyword, or NULL. */
static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options != NULL && options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

/* Elements of a list with commas; 0 when there is none. */
static unsigned count(const char *list)
{
    unsigned n = list != NULL && list[0] != '\0' ? 1 : 0;

    for (; n > 0 && *list != '\0'; list++)
        n += *list == ',';
    return n;
}

static unsigned hosts_of(const PQconninfoOption *options)
{
    unsigned hosts = count(value_of(options, "host")),
             addresses = count(value_of(options, "hostaddr"));
    unsigned most = hosts > addresses ? hosts : addresses;

    return most > 0 ? most : 1;
}

unsigned conninfo_hosts(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    unsigned hosts = hosts_of(options);

    PQconninfoFree(options);
    return hosts;
}

/* "a,b,c" turned by 1 is "b,c,a". */
static void turn(const char *list, unsigned by, char out[CONNINFO_HOSTS_SIZE])
{
    const char *head = list;

    for (; by > 0; by--)
        head = strchr(head, ',') + 1;
    snprintf(out, CONNINFO_HOSTS_SIZE, "%s%s%.*s", head, head > list ? "," : "",
             head > list ? (int)(head - list - 1) : 0, list);
}

/* Adds the lists of hosts anew, the one at `first` leading; a later keyword wins. A single port is
 * for all of them and stays. */
static void fill_hosts(struct conninfo *out, size_t n, const char *conninfo, unsigned first)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    unsigned hosts = hosts_of(options);

    for (size_t i = 0; i < HOST_KEYWORDS && first % hosts > 0; i++) {
        const char *list = value_of(options, host_keywords[i]);

        if (count(list) != hosts || strlen(list) >= CONNINFO_HOSTS_SIZE)
            continue;
        turn(list, first % hosts, out->turned[i]);
        out->keywords[n] = host_keywords[i];
        out->values[n++] = out->turned[i];
    }
    PQconninfoFree(options);
}

/* ---- one connection ---- */

void conninfo_fill(struct conninfo *out, const char *conninfo, const char *application_name,
                   unsigned first)
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
    if (first > 0)
        fill_hosts(out, n, conninfo, first);
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
