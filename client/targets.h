/* To whom a PASSporT goes: the distinct CPSs of the called numbers' carriers. Called by deliver.c,
 * in the loop's thread. */
#ifndef CLIENT_TARGETS_H
#define CLIENT_TARGETS_H

#include "client/delivery.h"
#include "common/passport.h"

struct sticps_answer;
struct sticps_client;

/* Asks ENUM for those of the called numbers that it must be waited for. `done` runs once, within
 * `ms`; false when there is nothing to wait for. `answer` is room to resolve into. */
bool targets_wait(struct sticps_client *client, const struct passport *passport,
                  struct sticps_answer *answer, unsigned ms, void (*done)(void *ctx),
                  void *ctx) STICPS_MUST_CHECK;

/* Adds them to `delivery`, which has room for as many as there are called numbers. When there is
 * none, the first number's reason. */
enum sticps_err targets_find(struct sticps_client *client, const struct passport *passport,
                             struct sticps_answer *answer, struct sticps_delivery *delivery,
                             struct sticps_error *err) STICPS_MUST_CHECK;

#endif
