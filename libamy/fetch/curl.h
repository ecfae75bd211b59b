/* What is used of libcurl, as a table; opened when it is first needed. */
#ifndef AMY_FETCH_CURL_H
#define AMY_FETCH_CURL_H

#include <amy/error.h>

#include <curl/curl.h>

struct amy__curl {
    CURLcode (*global_init)(long flags);
    void (*global_cleanup)(void);
    curl_version_info_data *(*version_info)(CURLversion age);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    void (*easy_cleanup)(CURL *easy);
    const char *(*easy_strerror)(CURLcode code);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
    CURLMcode (*multi_add)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_action)(CURLM *multi, curl_socket_t fd, int what,
                              int *running);
    CURLMsg *(*multi_read)(CURLM *multi, int *left);
    CURLMcode (*multi_assign)(CURLM *multi, curl_socket_t fd, void *user);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    struct curl_slist *(*list_append)(struct curl_slist *list,
                                      const char *text);
    void (*list_free)(struct curl_slist *list);
};

/* AMY_EUNSUPPORTED: err names the package. */
int amy__curl_load(struct amy__curl *ret, struct amy_error *err);
/* AMY_EUNSUPPORTED: this one signs what S3 refuses. */
int amy__curl_can_sign(const struct amy__curl *curl, struct amy_error *err);

#endif
