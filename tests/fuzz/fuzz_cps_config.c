/* Any bytes as the configuration of sticps-cpsd: it is refused with a reason, or taken, and then it
 * may take its own place. */
#include "server/cps/config.h"
#include "tests/fuzz/config_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct config *config = NULL, *again = NULL;
    struct sticps_error err = {0};
    const char *path = config_file(data, len);
    if (config_load(path, &config, &err) != STICPS_OK) {
        MUST(config == NULL && err.text[0] != '\0');
        return 0;
    }
    MUST(config->listen.count > 0 && config->spcs_len > 0);
    MUST(config->private_side.token != NULL || config->private_side.client_ca != NULL);
    MUST((config->anchors.bundle == NULL) != (config->anchors.url == NULL));
    MUST(config_load(path, &again, &err) == STICPS_OK);
    MUST(config_check_reload(config, again, &err) == STICPS_OK);
    config_free(again);
    config_free(config);
    return 0;
}
