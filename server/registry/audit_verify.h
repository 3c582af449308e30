/* `sticps-registryd audit verify`: reads the whole history in one snapshot and computes it again:
 * the chain of audit rows, and for each kind of list the Merkle tree of its publications and the
 * audit head that each of them stored (docs/transparency.md). Everything is hashed here; nothing
 * that the database computed is believed. Called by main. */
#ifndef REGISTRY_AUDIT_VERIFY_H
#define REGISTRY_AUDIT_VERIFY_H

#include "common/error.h"
#include "server/registry/config.h"

/* Prints one line for each part that holds, and one that names the first bad row for each that does
 * not. STICPS_ERR_STATE when any part does not hold; STICPS_ERR_FETCH when the database cannot be
 * reached. */
enum sticps_err audit_verify_run(const struct config *config,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif
