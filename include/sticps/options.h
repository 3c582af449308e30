/* What a client is made with. Fill in once, hand to sticps_client_new (which copies it), free.
 *
 * The defaults are the ones of PROTOCOL; no option switches a check off. Not safe for use by
 * several threads at once. */
#ifndef STICPS_OPTIONS_H
#define STICPS_OPTIONS_H

#include <sticps/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sticps_options;

/* NULL when out of memory. */
STICPS_EXPORT struct sticps_options *sticps_options_new(void);
STICPS_EXPORT void sticps_options_free(struct sticps_options *options); /* accepts NULL */

/* A trust anchor for the signers of lists (PROTOCOL section 2, rule 4): PEM, one or several
 * certificates, or one in DER. Can be called several times. A file is read at once, and again
 * whenever it has changed (sticps_client_reload). STICPS_ERR_USAGE, STICPS_ERR_FILE. */
STICPS_EXPORT enum sticps_err sticps_options_add_anchor(struct sticps_options *options,
                                                        const void *data, size_t len,
                                                        struct sticps_error *err) STICPS_MUST_CHECK;
STICPS_EXPORT enum sticps_err
sticps_options_add_anchor_file(struct sticps_options *options, const char *path,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* The STI-PA's CRL: a list whose signer, or a CA above it, is on it is refused (SIGNER). The file,
 * DER or PEM, is read at each fetch of a list, so that it may be replaced at any time; one that
 * cannot be read, is overdue (nextUpdate), or is not signed by one of the certificates in `signers`
 * (PEM; NULL: the anchors) refuses every list. STICPS_ERR_USAGE, STICPS_ERR_FILE. */
STICPS_EXPORT enum sticps_err
sticps_options_set_crl_file(struct sticps_options *options, const char *path, const char *signers,
                            struct sticps_error *err) STICPS_MUST_CHECK;

/* Where the last good lists and the sequence floors are kept; made if missing. Without it they live
 * in memory, and protection against rollback ends with the process. */
STICPS_EXPORT enum sticps_err
sticps_options_set_state_dir(struct sticps_options *options, const char *path,
                             struct sticps_error *err) STICPS_MUST_CHECK;

/* Further roots for the TLS connections themselves, beside the system's (PEM). Never an anchor for
 * lists. Can be called several times. */
STICPS_EXPORT enum sticps_err
sticps_options_add_tls_ca_file(struct sticps_options *options, const char *path,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* Certificate chain and key (PEM) shown to the private side of a CPS by sticps_retrieve. */
STICPS_EXPORT enum sticps_err
sticps_options_set_tls_client(struct sticps_options *options, const char *cert_path,
                              const char *key_path, struct sticps_error *err) STICPS_MUST_CHECK;

/* A host that the x5u of a list may name besides the list's own. Can be called several times. */
STICPS_EXPORT enum sticps_err
sticps_options_add_x5u_host(struct sticps_options *options, const char *host,
                            struct sticps_error *err) STICPS_MUST_CHECK;

/* A port that CPS URLs in the list may use besides 443. Can be called several times. */
STICPS_EXPORT enum sticps_err
sticps_options_add_cps_port(struct sticps_options *options, uint16_t port,
                            struct sticps_error *err) STICPS_MUST_CHECK;

/* Opens loopback and private addresses, their literals, one-label hosts and other ports. For a lab.
 */
STICPS_EXPORT void sticps_options_set_lab(struct sticps_options *options, bool lab);

/* How far ahead a list's exp may lie, in seconds (7 days). */
STICPS_EXPORT void sticps_options_set_max_lifetime(struct sticps_options *options, int64_t seconds);

/* SHRINK: a list that loses more than `entries` (20) and more than `percent` (20) of the held
 * entries, or all, is refused; `accept` is the operator's word that it is meant. */
STICPS_EXPORT void sticps_options_set_shrink_limit(struct sticps_options *options, size_t entries,
                                                   unsigned percent);
STICPS_EXPORT void sticps_options_set_accept_shrink(struct sticps_options *options, bool accept);

/* For how long after its exp a list still answers, flagged stale, in seconds (0). */
STICPS_EXPORT void sticps_options_set_grace(struct sticps_options *options, int64_t seconds);

/* 1: ten digits of NANP form get a leading 1 (the default). 0: numbers are taken as they are. */
STICPS_EXPORT void sticps_options_set_default_country(struct sticps_options *options,
                                                      unsigned country);

/* Total deadlines, in milliseconds: a list with its signer's certificate (30,000), an x5u (2,000),
 * a delivery (400). */
STICPS_EXPORT void sticps_options_set_list_timeout(struct sticps_options *options, unsigned ms);
STICPS_EXPORT void sticps_options_set_x5u_timeout(struct sticps_options *options, unsigned ms);
STICPS_EXPORT void sticps_options_set_deliver_timeout(struct sticps_options *options, unsigned ms);

/* How many deliveries may be under way at once (4,096), and how many requests to one CPS (256): at
 * one whose answers take a quarter of a second, proportionally fewer at one that is faster, but 32
 * always, which by default is a thousand a second or more. What is above the first, or finds as
 * many waiting for its CPS as there are places left, fails at once with STICPS_ERR_BUSY; what is
 * above the second waits its turn. 0 leaves the default. */
STICPS_EXPORT void sticps_options_set_deliver_limits(struct sticps_options *options, unsigned all,
                                                     unsigned per_cps);

/* OCN→OCN table (CSV, "from,to" a line) for carriers that provision their CPS under another code;
 * read at once. STICPS_ERR_FILE, STICPS_ERR_SPC. */
STICPS_EXPORT enum sticps_err
sticps_options_set_override_file(struct sticps_options *options, const char *path,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

enum sticps_log_level { STICPS_LOG_DEBUG, STICPS_LOG_INFO, STICPS_LOG_WARN, STICPS_LOG_ERROR };

/* Called for what happens in a client (events.h): a list taken or refused (INFO, ERROR), or not to
 * be had (WARN), and the same of one of its sources; a file of anchors that has changed (INFO,
 * ERROR); a certificate that was not to be had; a CPS that is paused (WARN); a delivery that failed
 * (DEBUG: calls fail by the thousand). `event` is an enum sticps_event. `where` is the URL or so,
 * or ""; `text` one sentence. Neither holds a token or a called number. In whatever thread it
 * happens, mostly the loop's; it must return soon and not call the client. NULL: no log, the
 * default. */
typedef void sticps_log_fn(void *ctx, enum sticps_log_level level, int event, enum sticps_err code,
                           const char *where, const char *text);
STICPS_EXPORT void sticps_options_set_log(struct sticps_options *options, sticps_log_fn *log,
                                          void *ctx);

/* Where the time comes from: Unix seconds. Called from any thread that uses the client. The default
 * is the system's clock. */
typedef int64_t sticps_clock_fn(void *ctx);
STICPS_EXPORT void sticps_options_set_clock(struct sticps_options *options, sticps_clock_fn *now,
                                            void *ctx);

#ifdef __cplusplus
}
#endif
#endif
