#include "client/delivery.h"

#include <stdlib.h>
#include <string.h>

struct sticps_delivery *delivery_new(size_t room)
{
    struct sticps_delivery *delivery = calloc(1, sizeof(*delivery) + room * sizeof(struct outcome));
    if (delivery != NULL)
        atomic_init(&delivery->refs, 1);
    return delivery;
}

enum sticps_err delivery_add(struct sticps_delivery *delivery, const char *url,
                             struct sticps_error *err)
{
    for (size_t i = 0; i < delivery->len; i++)
        if (strcmp(delivery->outcomes[i].url, url) == 0)
            return STICPS_OK;
    char *copy = strdup(url);
    if (copy == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    delivery->outcomes[delivery->len++].url = copy;
    return STICPS_OK;
}

static int gravity(enum sticps_err code)
{
    if (code == STICPS_OK)
        return 0;
    return code == STICPS_ERR_REJECTED ? 2 : 1;
}

const struct outcome *delivery_gravest(const struct sticps_delivery *delivery)
{
    const struct outcome *worst = &delivery->outcomes[0];
    for (size_t i = 1; i < delivery->len; i++)
        if (gravity(delivery->outcomes[i].code) > gravity(worst->code))
            worst = &delivery->outcomes[i];
    return worst;
}

struct sticps_delivery *sticps_delivery_ref(const struct sticps_delivery *delivery)
{
    struct sticps_delivery *shared =
        (struct sticps_delivery *)delivery; /* only the count changes */
    if (shared != NULL)
        atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void sticps_delivery_free(struct sticps_delivery *delivery)
{
    if (delivery == NULL ||
        atomic_fetch_sub_explicit(&delivery->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < delivery->len; i++)
        free(delivery->outcomes[i].url);
    free(delivery);
}

size_t sticps_delivery_count(const struct sticps_delivery *delivery)
{
    return delivery->len;
}

const char *sticps_delivery_url(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->outcomes[index].url;
}

enum sticps_err sticps_delivery_code(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->outcomes[index].code;
}

int sticps_delivery_status(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->outcomes[index].status;
}

unsigned sticps_delivery_tries(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->outcomes[index].tries;
}

const char *sticps_delivery_problem(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->outcomes[index].problem.code;
}

const char *sticps_delivery_detail(const struct sticps_delivery *delivery, size_t index)
{
    const struct outcome *outcome = &delivery->outcomes[index];
    return outcome->code == STICPS_ERR_REJECTED ? outcome->problem.detail : outcome->error.text;
}
