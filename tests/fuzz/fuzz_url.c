/* common/url: no reader is looser than the one it refines, and a normal form that is shown is
 * accepted. */
#include "common/url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_parts(const char *text, size_t len)
{
    struct url url;
    struct sticps_error err;
    if (url_parse(text, len, &url, &err) != STICPS_OK)
        return;
    check(url.host >= text && url.host_len > 0 && url.host + url.host_len <= text + len);
    check(url.path_len == 0 || (url.path[0] == '/' && url.path + url.path_len <= text + len));
    check(url.port >= 1 && url.port <= 65535);
    check(url_same_host(&url, &url));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct url_rules strict = {false, false, NULL, 0};
    static const struct url_rules any_form = {false, true, NULL, 0};
    static const struct url_rules lab = {true, false, NULL, 0};
    static const struct url_rules lab_any_form = {true, true, NULL, 0};
    const char *text = (const char *)data;
    struct sticps_error err;
    struct url url;

    check_parts(text, size);
    bool operators = url_parse(text, size, &url, &err) == STICPS_OK;
    bool in_lab_any = cps_url_check(text, size, &lab_any_form, &err) == STICPS_OK;
    bool in_lab = cps_url_check(text, size, &lab, &err) == STICPS_OK;
    bool in_any = cps_url_check(text, size, &any_form, &err) == STICPS_OK;
    bool x5u_lab = x5u_check(text, size, true, &err) == STICPS_OK;
    bool x5u = x5u_check(text, size, false, &err) == STICPS_OK;
    bool in_strict = cps_url_check(text, size, &strict, &err) == STICPS_OK;
    check(!in_strict || (in_any && in_lab && x5u));
    check(!in_any || in_lab_any);
    check(!in_lab || in_lab_any);
    check(!x5u || x5u_lab);
    check(!(x5u_lab || in_lab_any) || operators);
    if (in_any && !in_strict) {
        const char *use = strstr(err.text, "; use ");
        size_t len = use != NULL ? strlen(use + 6) : 0;
        if (use != NULL && strlen(err.text) < sizeof(err.text) - 1) /* not cut */
            check(cps_url_check(use + 6, len, &strict, NULL) == STICPS_OK);
    }
    if (size >= 17)
        check(address_is_closed(data, 16, false) || !address_is_closed(data, 16, true));
    return 0;
}
