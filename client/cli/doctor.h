/* sticps doctor: says step by step why a list, a certificate, a CPS or a number does not work from
 * here. What decides is the library itself, asked to do what the other commands do, in a rehearsal
 * that writes nothing; the steps around it only explain. The command is doctor.c, each subject one
 * file. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "client/cli/client_options.h"
#include "client/cli/doctor_report.h"
#include "common/cert.h"

struct fetch_answer;

struct doctor {
    struct client_options o;
    const char *ca_state; /* folder of a list of STI-CAs, or NULL */
    int64_t now;          /* Unix seconds */
    struct report report;
    struct sticps_client *client; /* of the rehearsal */
};

/* ---- doctor_local.c: what is on this machine ---- */

void doctor_anchors(struct doctor *doctor);
void doctor_crl(struct doctor *doctor);
/* False when the state is of no use, so that no list can be judged. */
bool doctor_state(struct doctor *doctor);
void doctor_npdb(struct doctor *doctor);

/* ---- the subjects ---- */

bool doctor_list_urls(struct doctor *doctor); /* false, with failed steps, for what is none */
void doctor_list(struct doctor *doctor);
void doctor_x5u(struct doctor *doctor, const char *url);
void doctor_cps(struct doctor *doctor, const char *url);
void doctor_number(struct doctor *doctor, const char *number);

/* ---- doctor_net.c: the way to a server ---- */

#define NET_NO_BLAME ((size_t)-1)

/* Adds steps dns, connect (one for each address) and tls. Returns the index of the step that
 * already tells why a request would fail, or NET_NO_BLAME. */
size_t net_look(struct doctor *doctor, const char *subject, const char *url, unsigned timeout_ms);

/* What is kept of an answer. */
struct net_seen {
    bool answered;
    int status;
    size_t len;
    int64_t date; /* -1: not said */
    char type[128];
};
void net_see(struct net_seen *seen, const struct fetch_answer *answer);

/* What the request itself came to. When it found a way (`err` is neither FETCH nor ADDRESS), the
 * step `blame` is but a warning; when not, there is one failed step with the code of `err`. Adds
 * the steps http and clock of an answer. */
void net_settle(struct doctor *doctor, const char *subject, const char *url, size_t blame,
                const struct net_seen *seen, const struct sticps_error *err);

/* ---- doctor_tls.c ---- */

/* Shakes hands over the connected, non-blocking socket `fd` and tells what the server shows; false
 * when a client refuses it. `deadline` is loop_now(). */
bool tls_look(struct doctor *doctor, const char *subject, int fd, const char *host, bool is_name,
              uint64_t deadline);

/* "/CN=x, issued by /CN=y, valid until 2027-01-01T00:00:00Z, 90 days". */
void cert_text(const struct doctor *doctor, const X509 *cert, char *out, size_t size);

/* Warns when a certificate ends soon, or is not valid now. `remedy` says what to do then. */
void cert_warn(struct doctor *doctor, struct report_step *step, const X509 *cert,
               const char *remedy);

#endif
