/* One site's certificate: found, checked, handed on as sealed memory. */
/* Not for serving it, and not for getting one. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "front/master.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX ((size_t)1024 * 1024)

struct pair {
    char chain_path[PATH_MAX];
    char key_path[PATH_MAX];
    struct amy__buf chain;
    struct amy__buf key;
};

/* A file by its path, links followed: only root, or the person that runs us,
 * has named it, and certbot's live/ is made of links. */
static int
read_path(const char *path, struct amy__buf *out, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st = {0};
    ssize_t n = 1;

    if (fd < 0 || fstat(fd, &st) != 0) {
        return amy__err_sys(err, errno, "reading '%s'", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return amy__err(err, AMY_EINVAL, "'%s' is not a regular file", path);
    }
    while (n > 0) {
        char chunk[4096];

        n = read(fd, chunk, sizeof(chunk));
        if (n < 0) {
            return amy__err_sys(err, errno, "reading '%s'", path);
        }
        if (amy__buf_append(out, chunk, (size_t)n) < 0) {
            amy__wipe(chunk, sizeof(chunk));
            return amy__err(err, AMY_ELIMIT, "'%s' is too large", path);
        }
        amy__wipe(chunk, sizeof(chunk));
    }
    return 0;
}

static int
read_pair(const struct amy_front *front, const struct amy__site *spec,
          struct pair *pair, struct amy_error *err)
{
    int rc = 0;

    if (spec->tls_certificate != NULL) {
        (void)snprintf(pair->chain_path, PATH_MAX, "%s", spec->tls_certificate);
        (void)snprintf(pair->key_path, PATH_MAX, "%s", spec->tls_key);
    } else {
        (void)snprintf(pair->chain_path, PATH_MAX, "%s/%s/fullchain.pem",
                       front->settings->certificates, spec->domain);
        (void)snprintf(pair->key_path, PATH_MAX, "%s/%s/privkey.pem",
                       front->settings->certificates, spec->domain);
    }
    rc = read_path(pair->chain_path, &pair->chain, err);
    return rc < 0 ? rc : read_path(pair->key_path, &pair->key, err);
}

static void
clear_pair(struct pair *pair)
{
    if (pair->key.data != NULL) {
        amy__wipe(pair->key.data, pair->key.len);
    }
    amy__buf_clear(&pair->key);
    amy__buf_clear(&pair->chain);
}

/* What status tells of a certificate. Memory that runs out here costs a line of
 * status, no more. */
static struct amy__json *
describe(const struct amy__tls_cert *cert)
{
    struct amy__tls_cert_info info = {0};
    struct amy__json *json = amy__json_object();
    struct amy__json *names = amy__json_array();
    struct amy__span rest = {0};
    struct amy__span name = {0};
    char time[25] = "";

    amy__tls_cert_info(cert, &info);
    (void)amy__json_set(
        json, "not_after",
        amy__json_text(amy__format_time(info.not_after_ms, time)));
    rest = amy__span_of(info.names[0] == '\0' ? NULL : info.names);
    while (amy__span_split(&rest, ',', &name)) {
        (void)amy__json_add(names, amy__json_span(name));
    }
    (void)amy__json_set(json, "names", names);
    (void)amy__json_set(json, "self_signed", amy__json_bool(info.self_signed));
    (void)amy__json_set(json, "issuer", amy__json_text(info.issuer));
    (void)amy__json_set(json, "fingerprint", amy__json_text(info.fingerprint));
    (void)amy__json_set(json, "key_type", amy__json_text(info.key_type));
    return json;
}

static int
seal_pair(const struct pair *pair, struct amy__bundle_site *one,
          struct amy_error *err)
{
    one->chain_fd =
        amy__sealed_memfd("amy-chain", pair->chain.data, pair->chain.len, err);
    if (one->chain_fd < 0) {
        return one->chain_fd;
    }
    one->key_fd =
        amy__sealed_memfd("amy-key", pair->key.data, pair->key.len, err);
    if (one->key_fd < 0) {
        amy__close(&one->chain_fd);
        return one->key_fd;
    }
    return 0;
}

/* Good enough to be served: all is right; or, where nothing is served yet, the
 * key fits and only names or dates are wrong (a visitor who is told so is
 * better off than one who meets nobody). */
static int
accept_pair(const struct amy_front *front, const struct amy__site *spec,
            const struct pair *pair, bool any, struct amy__tls_cert **ret_cert,
            struct amy_error *err)
{
    const char *const names[] = {spec->domain, NULL};
    struct amy__span chain = amy__buf_span(&pair->chain);
    struct amy__span key = amy__buf_span(&pair->key);
    int rc = amy__tls_cert_create(chain, key, names,
                                  amy__wall_ms(front->opts.borrow_clock),
                                  ret_cert, err);

    if (rc < 0 && any &&
        amy__tls_cert_create(chain, key, NULL, 0, ret_cert, NULL) == 0) {
        return 0; /* err keeps what is wrong */
    }
    return rc;
}

/* Load, check and seal. *ret_json: what is to be shown of it. err.code: set
 * when something is wrong, also where it is served all the same. */
static int
take_pair(struct amy_front *front, const struct amy__site *spec, bool any,
          struct amy__bundle_site *one, struct amy__json **ret_json,
          struct amy_error *err)
{
    struct amy__tls_cert *cert = NULL;
    struct pair pair = {0};
    int rc = 0;

    amy__buf_init(&pair.chain, PEM_MAX);
    amy__buf_init(&pair.key, PEM_MAX);
    rc = read_pair(front, spec, &pair, err);
    if (rc == 0) {
        rc = accept_pair(front, spec, &pair, any, &cert, err);
    }
    if (rc == 0) {
        rc = seal_pair(&pair, one, err);
    }
    if (rc == 0) {
        *ret_json = describe(cert);
    }
    amy__tls_cert_unref(cert);
    clear_pair(&pair);
    return rc;
}

void
amy__front_cert_load(struct amy_front *front, struct amy__front_site *site,
                     const struct amy__site *spec,
                     const struct amy__bundle_site *old,
                     struct amy__bundle_site *one)
{
    bool has_old = old != NULL && old->chain_fd >= 0;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__json *json = NULL;

    if (take_pair(front, spec, !has_old, one, &json, &err) < 0) {
        amy__log(&front->log, AMY_LOG_ERROR, "certificate %s: %s site=%s",
                 has_old ? "refused, the old one is served" : "missing",
                 err.msg, spec->domain);
        if (has_old) {
            one->chain_fd = fcntl(old->chain_fd, F_DUPFD_CLOEXEC, 0);
            one->key_fd = fcntl(old->key_fd, F_DUPFD_CLOEXEC, 0);
            json = site->certificate; /* of the one that is served */
            site->certificate = NULL;
        }
    }
    if (json == NULL) {
        json = amy__json_object();
    }
    (void)amy__json_set(json, "error",
                        amy__json_text(err.code == 0 ? NULL : err.msg));
    amy__json_free(site->certificate);
    site->certificate = json;
}
