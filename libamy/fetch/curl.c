/* Opens libcurl. */
/* Not for what is done with it: fetch.c and call.c. */
#include "fetch/curl.h"

#include "core/error.h"
#include "core/library.h"

#include <string.h>

#define LIBRARY "libcurl.so.4"
#define OLDEST 0x075500U /* 7.85: protocols by name */

static int
check_version(const struct amy__curl *curl, struct amy_error *err)
{
    const curl_version_info_data *info = curl->version_info(CURLVERSION_NOW);

    if (info->version_num < OLDEST) {
        return amy__err(err, AMY_EUNSUPPORTED,
                        "libcurl is of version %s: 7.85 or newer is needed",
                        info->version);
    }
    if ((info->features & CURL_VERSION_SSL) == 0) {
        return amy__err(err, AMY_EUNSUPPORTED, "libcurl was built without TLS");
    }
    return 0;
}

int
amy__curl_load(struct amy__curl *ret, struct amy_error *err)
{
    const struct amy__library_symbol wanted[] = {
        {"curl_global_init", &ret->global_init},
        {"curl_global_cleanup", &ret->global_cleanup},
        {"curl_version_info", &ret->version_info},
        {"curl_easy_init", &ret->easy_init},
        {"curl_easy_setopt", &ret->easy_setopt},
        {"curl_easy_getinfo", &ret->easy_getinfo},
        {"curl_easy_cleanup", &ret->easy_cleanup},
        {"curl_easy_strerror", &ret->easy_strerror},
        {"curl_multi_init", &ret->multi_init},
        {"curl_multi_setopt", &ret->multi_setopt},
        {"curl_multi_add_handle", &ret->multi_add},
        {"curl_multi_remove_handle", &ret->multi_remove},
        {"curl_multi_socket_action", &ret->multi_action},
        {"curl_multi_info_read", &ret->multi_read},
        {"curl_multi_assign", &ret->multi_assign},
        {"curl_multi_cleanup", &ret->multi_cleanup},
        {"curl_slist_append", &ret->list_append},
        {"curl_slist_free_all", &ret->list_free},
    };
    int rc = amy__library_load(LIBRARY, "libcurl4", wanted,
                               sizeof(wanted) / sizeof(wanted[0]), err);

    return rc == 0 ? check_version(ret, err) : rc;
}
