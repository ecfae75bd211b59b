/* Opens libcurl. */
/* Not for what is done with it: fetch.c and call.c. */
#include "fetch/curl.h"

#include "core/error.h"
#include "core/library.h"

#include <string.h>

#define LIBRARY "libcurl.so.4"
#define OLDEST 0x075500U         /* 7.85: protocols by name */
#define OLDEST_TO_SIGN 0x075800U /* 7.88: all fields that are given, too */

static int
check_age(const curl_version_info_data *info, unsigned oldest,
          const char *oldest_name, struct amy_error *err)
{
    return info->version_num >= oldest
               ? 0
               : amy__err(err, AMY_EUNSUPPORTED,
                          "libcurl is of version %s: %s or newer is needed",
                          info->version, oldest_name);
}

int
amy__curl_can_sign(const struct amy__curl *curl, struct amy_error *err)
{
    return check_age(curl->version_info(CURLVERSION_NOW), OLDEST_TO_SIGN,
                     "7.88", err);
}

static int
check_version(const struct amy__curl *curl, struct amy_error *err)
{
    const curl_version_info_data *info = curl->version_info(CURLVERSION_NOW);
    int rc = check_age(info, OLDEST, "7.85", err);

    if (rc < 0) {
        return rc;
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
