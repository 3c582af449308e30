/* Where called numbers are looked up (PROTOCOL section 7): the portability files of
 * sticps_client_set_npdb, ENUM, and a function of the host. Each `add` below puts one of them at
 * the end of the order in which they are asked; without any, the files are the only one, and files
 * that are not added by name come first. The first source that knows the number decides. */
#ifndef STICPS_NUMBERS_H
#define STICPS_NUMBERS_H

#include <sticps/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The place of the portability files, when something else shall be asked before them.
 * STICPS_ERR_USAGE when it was called before. */
STICPS_EXPORT enum sticps_err sticps_options_add_npdb(struct sticps_options *options,
                                                      struct sticps_error *err) STICPS_MUST_CHECK;

/* ---- ENUM: NAPTR records of the service E2U+pstn:tel in the DNS (RFC 6116, RFC 4769) ---- */

/* Numbers are under `apex`: with "e164.carrier.example", 12025550123 is asked for as
 * 3.2.1.0.5.5.5.2.0.2.1.e164.carrier.example. A record that names a routing number (rn) says that
 * the number is ported there; the LRN's carrier is the one that the portability files name. Without
 * a record, or when it says that the number is not ported, the next source is asked.
 *
 * sticps_resolve never waits for the DNS: it knows what was asked before, for as long as the
 * records' TTL says (5 s to an hour; 5 minutes when there is none). STICPS_ERR_WOULD_WAIT tells of
 * a number that was not; sticps_resolve_start and deliveries wait for it, up to the deadline.
 * Servers that do not answer cost that much at most, for a few numbers, and are then left in peace
 * for a while; the next source decides meanwhile.
 *
 * Whoever can send packets to this host in the servers' name decides where calls go: they must be
 * in a network of one's own, or a validating resolver on this machine. STICPS_ERR_USAGE for what is
 * no domain name, and when there is one already. */
STICPS_EXPORT enum sticps_err sticps_options_add_enum(struct sticps_options *options,
                                                      const char *apex,
                                                      struct sticps_error *err) STICPS_MUST_CHECK;

/* A DNS server to ask, by number: "192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:5353". Up to 8, in
 * the order in which they are tried; without any, those of /etc/resolv.conf when the client is
 * made. STICPS_ERR_USAGE. */
STICPS_EXPORT enum sticps_err
sticps_options_add_enum_server(struct sticps_options *options, const char *address,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* For how long an answer is waited for, in milliseconds (100; at most a minute), and how many are
 * remembered (65,536, of 40 bytes). 0 leaves the default. */
STICPS_EXPORT void sticps_options_set_enum_limits(struct sticps_options *options,
                                                  unsigned deadline_ms, unsigned cached);

/* ---- the host's own dip ---- */

enum sticps_dip_result {
    STICPS_DIP_FOUND,     /* `out` says who serves the number */
    STICPS_DIP_NOT_FOUND, /* nothing is known of it: the next source is asked */
    STICPS_DIP_FAILED     /* the same, and told when no other source knows it either */
};

/* The host fills it in; it comes emptied. Texts end with a NUL. Its size is part of the ABI and
 * will not change. */
struct sticps_dip {
    char lrn[24]; /* where the number is ported to, as people write numbers; or "" */
    char spc[8];  /* who serves it: OCN or Resp Org ID, in either case; "" leaves it to the LRN */
    bool ported;  /* set it with an SPC alone; an LRN says it by itself */
};

/* The function of the host: memory that it shares with another process, a store on the same
 * machine. `tn` is canonical: digits, country code first. Called inside sticps_resolve, in the
 * thread of whoever resolves, by several at once; inside the loop for sticps_resolve_start and for
 * deliveries. Whatever time it takes, they take; and it must not change the client. An LRN without
 * an SPC has the carrier that the portability files name for the LRN. What is no number and no code
 * counts as STICPS_DIP_FAILED. */
typedef enum sticps_dip_result sticps_dip_fn(void *ctx, const char *tn, struct sticps_dip *out);

/* Adds the host's function. STICPS_ERR_USAGE when there is one already, or it is NULL. */
STICPS_EXPORT enum sticps_err sticps_options_add_dip(struct sticps_options *options,
                                                     sticps_dip_fn *dip, void *ctx,
                                                     struct sticps_error *err) STICPS_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
