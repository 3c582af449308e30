#include "client/cli/doctor_report.h"

#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- collecting ---- */

void report_free(struct report *report)
{
    free(report->items);
    *report = (struct report){0};
}

/* NULL when out of memory. */
static struct report_step *new_step(struct report *report)
{
    if (report->len == report->room) {
        size_t room = report->room == 0 ? 32 : 2 * report->room;
        struct report_step *items = realloc(report->items, room * sizeof(*items));
        if (items == NULL)
            return NULL;
        report->items = items;
        report->room = room;
    }
    return &report->items[report->len++];
}

/* What peers and files say may hold anything. */
static void print_into(char *to, size_t size, const char *format, va_list args)
{
    vsnprintf(to, size, format, args);
    for (char *c = to; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
}

struct report_step *report_add(struct report *report, const char *subject, const char *step,
                               const char *format, ...)
{
    struct report_step *to = new_step(report);
    if (to == NULL) {
        report->no_memory = true;
        to = &report->spare;
    }
    *to = (struct report_step){.step = step, .code = sticps_err_name(STICPS_OK)};
    snprintf(to->subject, sizeof(to->subject), "%s", subject);
    va_list args;
    va_start(args, format);
    print_into(to->looked, sizeof(to->looked), format, args);
    va_end(args);
    return to;
}

void step_warn(struct report_step *step, const char *code, const char *remedy, const char *format,
               ...)
{
    step->result = STEP_WARNING;
    step->code = code;
    snprintf(step->remedy, sizeof(step->remedy), "%s", remedy);
    va_list args;
    va_start(args, format);
    print_into(step->cause, sizeof(step->cause), format, args);
    va_end(args);
}

/* ---- what to do ---- */

static const struct {
    enum sticps_err code;
    const char *text;
} remedies[] = {
    {STICPS_ERR_USAGE, "Correct the option, or what it names, and look again."},
    {STICPS_ERR_FILE, "Make the file readable and writable for the user that runs the client."},
    {STICPS_ERR_STATE, "Put a good copy of the state back, or remove the file and so forget the "
                       "highest sequence that was seen."},
    {STICPS_ERR_NPDB, "Build the file anew with sticps npdb build."},
    {STICPS_ERR_URL, "Have the URL corrected where it is provisioned, or typed."},
    {STICPS_ERR_FETCH, "See that the server runs, is reached from here, and answers in time."},
    {STICPS_ERR_ADDRESS, "Have the name point to a public address; only --lab opens others."},
    {STICPS_ERR_FORM, "See that the URL is that of the list and that nothing on the way, a portal "
                      "or a cache, changes the answer."},
    {STICPS_ERR_HEADER, "Tell the STI-PA what its list's header says; for a certificate on another "
                        "host that it confirms, give --x5u-host."},
    {STICPS_ERR_SIGNER, "Compare the anchors with what the STI-PA publishes, give a new one with "
                        "--anchor, and renew the CRL if one is given."},
    {STICPS_ERR_SIGNATURE, "Ask the STI-PA: either list and certificate do not belong together, or "
                           "somebody changed the list."},
    {STICPS_ERR_PAYLOAD, "Check that --kind and the URL name the same list, and tell the STI-PA "
                         "what is wrong in it."},
    {STICPS_ERR_VERSION, "Update this software to one that knows the version."},
    {STICPS_ERR_EXP, "Check this machine's clock; if it is right, the STI-PA must publish anew."},
    {STICPS_ERR_ROLLBACK, "Ask the STI-PA; when it says by another way that it went back, run "
                          "sticps list recover."},
    {STICPS_ERR_EQUIVOCATION, "Keep both lists and ask the STI-PA, which must not sign two under "
                              "one number."},
    {STICPS_ERR_SHRINK, "Ask the STI-PA whether the loss is meant, then fetch once with "
                        "--accept-shrink."},
    {STICPS_ERR_BAD_IDENTITY_INFO, "See that the URL yields the certificate chain, as PEM, leaf "
                                   "first."},
    {STICPS_ERR_UNSUPPORTED_CREDENTIAL, "Obtain a certificate from an approved STI-CA that has "
                                        "what is missing, or give that STI-CA as --anchor."},
    {STICPS_ERR_NOT_A_NUMBER, "Write the number with its country code, as +12025550123."},
    {STICPS_ERR_NO_CARRIER, "Load portability data that covers the number."},
    {STICPS_ERR_CARRIER_HAS_NO_CPS, "Nothing to repair here: the carrier has no CPS, or its code "
                                    "wants a row in --override."},
    {STICPS_ERR_LIST_EXPIRED, "Fetch a newer list."},
    {STICPS_ERR_NO_LIST, "Fetch the list with sticps list fetch."},
};

void step_fail(struct report_step *step, const struct sticps_error *err, const char *remedy)
{
    step->result = STEP_FAILED;
    step->err = err->code;
    step->code = sticps_err_name(err->code);
    bool said = strstr(step->looked, err->where) != NULL; /* "" is in every text */
    snprintf(step->cause, sizeof(step->cause), "%s%s%s%s", err->text, said ? "" : " (",
             said ? "" : err->where, said ? "" : ")");
    for (size_t i = 0; remedy == NULL && i < sizeof(remedies) / sizeof(remedies[0]); i++)
        if (remedies[i].code == err->code)
            remedy = remedies[i].text;
    snprintf(step->remedy, sizeof(step->remedy), "%s", remedy != NULL ? remedy : "Look again.");
}

/* ---- printing ---- */

static const char *const results[] = {"ok", "warning", "failed"};

static void print_line(const struct report_step *step)
{
    char name[48];
    snprintf(name, sizeof(name), "%s.%s", step->subject, step->step);
    printf("%-8s %-17s %s", results[step->result], name, step->looked);
    if (step->result != STEP_OK)
        printf("%s%s: %s. %s", step->looked[0] != '\0' ? "; " : "", step->code, step->cause,
               step->remedy);
    putchar('\n');
}

static json_t *step_json(const struct report_step *step)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "subject", step->subject, "step",
                     step->step, "result", results[step->result], "code", step->code, "looked",
                     step->looked, "cause", step->cause, "remedy", step->remedy);
}

static int print_json(const struct report *report)
{
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && i < report->len; i++) {
        if (json_array_append_new(array, step_json(&report->items[i])) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return cli_print_json(array);
}

static int exit_status(const struct report *report)
{
    static const int gravest_first[] = {CLI_REFUSED, CLI_UNREACHABLE, CLI_USAGE, CLI_NO_ANSWER};
    bool seen[CLI_NO_ANSWER + 1] = {false};
    for (size_t i = 0; i < report->len; i++)
        if (report->items[i].result == STEP_FAILED)
            seen[report->items[i].err == STICPS_ERR_URL
                     ? (int)CLI_REFUSED
                     : (int)cli_exit_code(report->items[i].err)] = true;
    for (size_t i = 0; i < sizeof(gravest_first) / sizeof(gravest_first[0]); i++)
        if (seen[gravest_first[i]])
            return gravest_first[i];
    return CLI_OK;
}

int report_print(const struct report *report)
{
    int printed = CLI_OK;
    if (report->no_memory)
        return cli_print_json(NULL);
    if (cli_json())
        printed = print_json(report);
    else
        for (size_t i = 0; i < report->len; i++)
            print_line(&report->items[i]);
    return printed != CLI_OK ? printed : exit_status(report);
}
