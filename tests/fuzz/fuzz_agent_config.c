/* Any bytes as the configuration of sticps-agent: it is refused with a reason, or taken and can be
 * used. */
#include "server/agent/config.h"
#include "server/agent/flags.h"
#include "tests/fuzz/config_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct agent_flags none;
    struct agent_config *config = NULL;
    struct sticps_error err = {0};
    if (agent_config_load(config_file(data, len), &none, &config, &err) != STICPS_OK) {
        MUST(config == NULL && err.text[0] != '\0');
        return 0;
    }
    MUST(config->listen.count > 0 && config->list.state != NULL);
    MUST(!agent_config_fetches(config) || config->list.anchors.count > 0);
    MUST(agent_config_country(config) <= 1 && agent_config_socket_mode(config) <= 0777);
    agent_config_free(config);
    return 0;
}
