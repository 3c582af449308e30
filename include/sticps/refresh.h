/* Several sources for one list - mirrors, and files for where the network does not reach - and a
 * client that keeps its lists fresh by itself.
 *
 * The sources share one floor: whatever a source offers goes through all rules of PROTOCOL
 * section 2 against the one state of the list. A refresh asks every URL, in the order given, and
 * takes what is acceptable at once, so that a mirror that stands still does not hold a newer list
 * back, and mirrors that disagree about one number are found out. Files are read only when no URL
 * gave an acceptable list; the first acceptable one ends it. Each source's end is an event
 * (STICPS_EVENT_SOURCE) that names it, the end of the whole another (STICPS_EVENT_LIST). */
#ifndef STICPS_REFRESH_H
#define STICPS_REFRESH_H

#include <sticps/list.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A URL that the list may be had from (https, either form). The host of its x5u is the URL's own or
 * one of sticps_options_add_x5u_host. Can be called several times; the order counts.
 * STICPS_ERR_USAGE. */
STICPS_EXPORT enum sticps_err
sticps_options_add_list_url(struct sticps_options *options, enum sticps_list_kind kind,
                            const char *url, struct sticps_error *err) STICPS_MUST_CHECK;

/* A file that holds a list in either form: a copy that was carried in. It is read anew each time
 * and need not be there yet. Every rule but FETCH applies to it; its x5u is on the host of one of
 * the URLs given for this list, or of sticps_options_add_x5u_host, and is fetched or comes from the
 * state directory. Can be called several times; the order counts. STICPS_ERR_USAGE. */
STICPS_EXPORT enum sticps_err
sticps_options_add_list_file(struct sticps_options *options, enum sticps_list_kind kind,
                             const char *path, struct sticps_error *err) STICPS_MUST_CHECK;

/* Goes through the sources of the options once, within the deadline of
 * sticps_options_set_list_timeout: each has an equal share of what is left of it. STICPS_OK when
 * one of them was taken or is current; then `list` is what is held at the end, `previous` what was
 * held before, and `status` says whether anything was taken. Otherwise the code is the one that
 * weighs most - EQUIVOCATION, else the first other refusal, else the first FETCH - and `where` its
 * source. What concerns this machine (STATE, FILE, NO_MEMORY, CRYPTO) ends the refresh at once.
 *
 * The callback runs in the loop's thread; inline for STICPS_ERR_USAGE (no source, no anchors),
 * STICPS_ERR_NO_MEMORY, and while the client is being freed. */
STICPS_EXPORT void sticps_list_refresh(struct sticps_client *client, enum sticps_list_kind kind,
                                       sticps_list_fn *callback, void *ctx);

/* The same, waiting. `*list` is the caller's reference; `status` and `previous` may be NULL. */
STICPS_EXPORT enum sticps_err
sticps_list_refresh_wait(struct sticps_client *client, enum sticps_list_kind kind,
                         struct sticps_list **list, enum sticps_list_status *status,
                         int64_t *previous, struct sticps_error *err) STICPS_MUST_CHECK;

/* From now on the client refreshes the list by itself, in its loop, every `seconds` or so (1 to
 * 86,400; 0 ends it; calling it again changes it). The first refresh comes at once when no list is
 * held that has not expired, otherwise at a random moment within a tenth of `seconds`; each later
 * one up to a tenth early or late, so that clients that started together do not stay together, and
 * earlier still when the held list would expire before. After a failure it tries again after 5 to
 * 10 seconds, then after twice that, up to `seconds`. A source that asks for it by Retry-After is
 * left out until then, for an hour at most. What happens is told by events (events.h). Any thread.
 * STICPS_ERR_USAGE (no source, no anchors, `seconds` out of range). */
STICPS_EXPORT enum sticps_err sticps_list_keep_fresh(struct sticps_client *client,
                                                     enum sticps_list_kind kind, unsigned seconds,
                                                     struct sticps_error *err) STICPS_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
