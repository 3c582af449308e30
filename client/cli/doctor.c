#include "client/cli/doctor.h"

#include "common/clock.h"
#include "common/error.h"
#include "sticps/sticps.h"

#include <string.h>

/* ---- the command line ---- */

enum subject { ALL, LIST, X5U, CPS, NUMBER };

static const struct {
    const char *name;
    size_t arguments;
} subjects[] = {[ALL] = {"", 0},
                [LIST] = {"list", 0},
                [X5U] = {"x5u", 1},
                [CPS] = {"cps", 1},
                [NUMBER] = {"number", 1}};

/* False for another word, or too few or too many after it. */
static bool find_subject(const struct cli_texts *rest, enum subject *out)
{
    if (rest->len == 0) {
        *out = ALL;
        return true;
    }
    for (size_t i = LIST; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        if (strcmp(rest->items[0], subjects[i].name) != 0)
            continue;
        *out = (enum subject)i;
        return rest->len == 1 + subjects[i].arguments;
    }
    return false;
}

/* What is missing, or NULL. */
static const char *missing(const struct doctor *doctor, enum subject subject)
{
    const struct client_options *o = &doctor->o;
    bool sources = o->list_urls.len + o->list_files.len > 0;
    if (subject == LIST && (!sources || o->anchors.len == 0))
        return "doctor list wants --url or --file, and --anchor";
    if (subject == NUMBER && (o->npdb.len == 0 || o->state == NULL))
        return "doctor number wants --npdb and --state";
    if (subject == X5U && (o->crl == NULL) != (o->crl_signer == NULL))
        return "--crl goes with --crl-signer, the certificate that the STI-PA signs it with";
    if (subject == X5U && doctor->ca_state != NULL && o->state != NULL)
        return "--ca-state and --state are not for the same question";
    if (subject == ALL && sources && o->anchors.len == 0)
        return "--url and --file want --anchor";
    if (subject == ALL && !sources && o->state == NULL && o->npdb.len == 0 && o->anchors.len == 0 &&
        o->crl == NULL)
        return "nothing to look at: name what the client uses (--url, --anchor, --state, --npdb, "
               "--crl), or a subject; see sticps doctor --help";
    return NULL;
}

/* ---- the examination ---- */

/* The client that the rehearsal is of. What is wrong with the portability files and, where they are
 * steps of their own, with the anchors, does not keep it from the rest. */
static enum sticps_err make_client(struct doctor *doctor, enum subject subject,
                                   struct sticps_error *err)
{
    struct client_options o = doctor->o;
    o.rehearsal = true;
    if (subject == ALL || subject == LIST)
        o.npdb.len = 0;
    if (subject == X5U || subject == CPS || subject == NUMBER)
        o.anchors.len = 0;
    if (subject == X5U) {
        o.crl = o.crl_signer = NULL; /* those of STI certificates are not those of lists */
        o.state = NULL;
    }
    return client_from_options(&o, &doctor->client, err);
}

static void examine_all(struct doctor *doctor)
{
    bool usable = true;
    if (doctor->o.state != NULL)
        usable = doctor_state(doctor);
    doctor_npdb(doctor);
    if (doctor->o.list_urls.len + doctor->o.list_files.len > 0 && usable)
        doctor_list(doctor);
    else if (doctor->o.crl != NULL)
        doctor_crl(doctor);
}

static void examine(struct doctor *doctor, enum subject subject, const char *argument)
{
    struct sticps_error err = {0};
    if (subject == ALL || subject == LIST)
        doctor_anchors(doctor);
    if ((subject == ALL || subject == LIST) && !doctor_list_urls(doctor))
        return;
    if (make_client(doctor, subject, &err) != STICPS_OK) {
        step_fail(report_add(&doctor->report, "client", "options", "%s", ""), &err, NULL);
        return;
    }
    switch (subject) {
    case ALL:
        examine_all(doctor);
        break;
    case LIST:
        if (doctor->o.state == NULL || doctor_state(doctor))
            doctor_list(doctor);
        break;
    case X5U:
        doctor_x5u(doctor, argument);
        break;
    case CPS:
        doctor_cps(doctor, argument);
        break;
    case NUMBER:
        doctor_number(doctor, argument);
        break;
    }
}

static int run(int argc, char **argv)
{
    struct doctor doctor = {.o.deadline_ms = 5000, .now = clock_now(&clock_system)};
    struct client_options *o = &doctor.o;
    const struct cli_option options[] = {
        {"url", 0, CLI_TEXTS, &o->list_urls, "URL", "of the list", false, 0, 0},
        {"file", 0, CLI_TEXTS, &o->list_files, "FILE", "a copy of the list", false, 0, 0},
        {"anchor", 0, CLI_TEXTS, &o->anchors, "PEM", "STI-PA's certificate; STI-CA's for x5u",
         false, 0, 0},
        {"state", 0, CLI_TEXT, &o->state, "DIR", "folder of the held lists", false, 0, 0},
        {"ca-state", 0, CLI_TEXT, &doctor.ca_state, "DIR", "folder of the list of STI-CAs", false,
         0, 0},
        OPTION_KIND(o),
        {"npdb", 0, CLI_TEXTS, &o->npdb, "FILE", "portability file", false, 0, 0},
        OPTION_OVERRIDE(o),
        OPTION_GRACE(o),
        {"x5u-host", 0, CLI_TEXTS, &o->x5u_hosts, "HOST", "where a list's certificate may be",
         false, 0, 0},
        {"max-lifetime", 0, CLI_INTEGER, &o->max_lifetime, "S", "exp at most S ahead (604800)",
         false, 1, 315360000},
        {"allow-port", 0, CLI_TEXTS, &o->ports, "N", "port for CPS URLs besides 443", false, 0, 0},
        {"accept-shrink", 0, CLI_FLAG, &o->accept_shrink, NULL, "many entries may be gone", false,
         0, 0},
        {"timeout", 0, CLI_INTEGER, &o->timeout_s, "S", "for list and certificate (30), x5u (2)",
         false, 1, 3600},
        {"deadline", 0, CLI_INTEGER, &o->deadline_ms, "MS", "for a CPS (5000)", false, 1, 600000},
        OPTION_CRL(o),
        OPTION_TLS_CA(o),
        OPTION_LAB(o),
        OPTION_END,
    };
    struct cli_texts rest;
    enum subject subject;
    int status;
    if (!cli_parse(&cli_doctor, options, argc, argv, &rest, 0, 2, &status))
        return status;
    if (!find_subject(&rest, &subject))
        return cli_usage("usage: sticps doctor %s", cli_doctor.arguments);
    const char *lacking = missing(&doctor, subject);
    if (lacking != NULL)
        return cli_usage("%s", lacking);

    examine(&doctor, subject, rest.len > 1 ? rest.items[1] : NULL);
    status = report_print(&doctor.report);
    report_free(&doctor.report);
    sticps_client_free(doctor.client);
    return status;
}

const struct cli_command cli_doctor = {
    "doctor",
    "[list | x5u URL | cps URL | number TN] [options]",
    "Says step by step why a list, a certificate, a CPS or a number does not work from here, and\n"
    "what to do; without a subject, looks at all that the options name. Changes nothing. Exit\n"
    "status: 0 all well, warnings apart, 1 local trouble, 2 refused, 3 unreachable, 4 no CPS.",
    run,
};
