/* The name of a key: an RFC 7512 URI, read by p11-kit. Refuses what is meant for elsewhere: a PIN,
 * the module, another class of object. */
#ifndef COMMON_HSM_URI_H
#define COMMON_HSM_URI_H

#include "common/error.h"

#include <p11-kit/uri.h>

/* STICPS_ERR_USAGE; the text does not quote the URI, which may hold a PIN. The caller owns *out
 * (p11_kit_uri_free). */
enum sticps_err hsm_uri_parse(const char *text, P11KitUri **out,
                              struct sticps_error *err) STICPS_MUST_CHECK;

#endif
