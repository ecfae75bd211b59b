/* One certificate of a site: looked at, judged, taken or refused. */
/* Not for when to look, nor which there are: front/certs.c. */
#include "front/lineage.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

void
amy__lineage_directory(const char *path, char *buf, size_t size)
{
    const char *slash = strrchr(path, '/');

    (void)snprintf(buf, size, "%.*s", slash == path ? 1 : (int)(slash - path),
                   path);
}

static char *
join(const char *live, const char *name, const char *file)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s/%s", live, name, file);
    return amy__strdup(path);
}

struct amy__lineage *
amy__lineage_create(const char *live, const char *certificate, const char *key)
{
    struct amy__lineage *l = amy__calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->pair.sealed = (struct amy__bundle_cert){-1, -1};
    l->name = amy__strdup(certificate);
    l->chain_path = key != NULL ? amy__strdup(certificate)
                                : join(live, certificate, "fullchain.pem");
    l->key_path =
        key != NULL ? amy__strdup(key) : join(live, certificate, "privkey.pem");
    if (l->name == NULL || l->chain_path == NULL || l->key_path == NULL) {
        amy__lineage_free(l);
        return NULL;
    }
    return l;
}

void
amy__lineage_free(struct amy__lineage *l)
{
    if (l == NULL) {
        return;
    }
    amy__pair_clear(&l->pair);
    amy__free(l->name);
    amy__free(l->chain_path);
    amy__free(l->key_path);
    amy__free(l);
}

/* ---- what is wrong ---- */

/* What became of what is wrong; judged NULL: it could not be read. */
static const char *
outcome(const struct amy__lineage *l, const struct amy__tls_cert *judged)
{
    if (judged != NULL && judged == l->pair.cert) {
        return "not good, but served";
    }
    if (l->pair.cert != NULL) {
        return "refused, the old one is served";
    }
    return judged != NULL ? "refused" : "not usable";
}

static void
blame(const struct amy__lineages *site, struct amy__lineage *l,
      const struct amy__tls_cert *judged, const char *file, const char *what)
{
    char error[sizeof(l->error)] = "";

    (void)snprintf(error, sizeof(error), "%s%s%s",
                   strstr(what, file) == NULL ? file : "",
                   strstr(what, file) == NULL ? ": " : "", what);
    l->unsettled_ms = 0;
    if (strcmp(l->error, error) == 0) {
        return;
    }
    memcpy(l->error, error, sizeof(error));
    l->file = file;
    l->error_wall_ms = amy__wall_ms(site->borrow_clock);
    l->refused++;
    amy__log(site->borrow_log, AMY_LOG_ERROR, "certificate %s: %s site=%s",
             outcome(l, judged), error, site->names[0]);
}

static void
acquit(const struct amy__lineages *site, struct amy__lineage *l)
{
    if (l->error[0] != '\0') {
        amy__log(site->borrow_log, AMY_LOG_NOTICE,
                 "certificate is well again site=%s name=%s", site->names[0],
                 l->name);
    }
    l->error[0] = '\0';
    l->file = NULL;
    l->unsettled_ms = 0;
}

/* ---- names and dates ---- */

bool
amy__lineages_cover(const struct amy__lineages *site,
                    const struct amy__lineage *self, const char *name)
{
    for (size_t i = 0; i < site->count; i++) {
        const struct amy__lineage *l = site->list[i];

        if (l != self && l->pair.cert != NULL &&
            amy__tls_cert_covers(l->pair.cert, name)) {
            return true;
        }
    }
    return false;
}

/* A name that only the certificate which is served now covers would be lost. */
static int
judge_names(const struct amy__lineages *site, const struct amy__lineage *l,
            const struct amy__tls_cert *cert, struct amy_error *err)
{
    int64_t now_ms = amy__wall_ms(site->borrow_clock);
    const struct amy__tls_cert *old = l->pair.cert;
    bool covers_some = false;

    if (old != NULL && amy__tls_cert_check_dates(old, now_ms, NULL) < 0) {
        old = NULL; /* it is not worth much to anybody */
    }
    for (char **name = site->names; *name != NULL; name++) {
        if (amy__tls_cert_covers(cert, *name)) {
            covers_some = true;
        } else if (old != NULL && amy__tls_cert_covers(old, *name) &&
                   !amy__lineages_cover(site, l, *name)) {
            return amy__err(err, AMY_EINVAL,
                            "the certificate does not cover '%s'", *name);
        }
    }
    return covers_some ? 0
                       : amy__err(err, AMY_EINVAL,
                                  "the certificate does not cover '%s'",
                                  site->names[0]);
}

static int
judge(const struct amy__lineages *site, const struct amy__lineage *l,
      const struct amy__tls_cert *cert, struct amy_error *err)
{
    int rc = judge_names(site, l, cert, err);

    return rc < 0 ? rc
                  : amy__tls_cert_check_dates(
                        cert, amy__wall_ms(site->borrow_clock), err);
}

/* ---- one look ---- */

static bool
serves_any(const struct amy__lineages *site)
{
    for (size_t i = 0; i < site->count; i++) {
        if (site->list[i]->pair.cert != NULL) {
            return true;
        }
    }
    return false;
}

static void
adopt(struct amy__lineages *site, struct amy__lineage *l,
      struct amy__pair *pair)
{
    struct amy__tls_cert_info info;
    char until[25] = "";

    amy__tls_cert_info(pair->cert, &info);
    amy__log(site->borrow_log, AMY_LOG_NOTICE,
             "certificate found site=%s name=%s key_type=\"%s\" not_after=%s",
             site->names[0], l->name, info.key_type,
             amy__format_time(info.not_after_ms, until));
    amy__pair_clear(&l->pair);
    l->pair = *pair;
    *pair = (struct amy__pair){.sealed = {-1, -1}};
    site->changed = true;
}

/* What was read fits. Served, when all is right; or, where nothing is served
 * yet, also when only names or dates are wrong: a visitor who is told so is
 * better off than one who meets nobody. */
static void
weigh(struct amy__lineages *site, struct amy__lineage *l,
      struct amy__pair *pair)
{
    bool known = l->pair.cert != NULL && memcmp(pair->digest, l->pair.digest,
                                                sizeof(pair->digest)) == 0;
    struct amy_error err = AMY_ERROR_INIT;

    if (judge(site, l, pair->cert, &err) < 0) {
        if (!known && !serves_any(site)) {
            adopt(site, l, pair);
            known = true;
        }
        blame(site, l, known ? l->pair.cert : pair->cert, l->chain_path,
              err.msg);
        return;
    }
    acquit(site, l);
    if (!known) {
        adopt(site, l, pair);
    }
}

/* Both files are as they were when they were read; links are followed, so a
 * replaced one shows. */
static bool
is_unchanged(struct amy__lineage *l)
{
    struct stat chain = {0};
    struct stat key = {0};
    bool same = false;

    (void)stat(l->chain_path, &chain); /* zeros where there is none */
    (void)stat(l->key_path, &key);
    same = amy__stat_is_same(&chain, &l->chain_seen) &&
           amy__stat_is_same(&key, &l->key_seen);
    l->chain_seen = chain;
    l->key_seen = key;
    return same;
}

/* final: whoever asks says that the files are as they should be. */
void
amy__lineage_look(struct amy__lineages *site, struct amy__lineage *l,
                  bool final)
{
    int64_t now_ms = amy__mono_ms(site->borrow_clock);
    bool unchanged = is_unchanged(l);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__pair pair = {.sealed = {-1, -1}};
    const char *file = NULL;

    /* What is wrong may become right by itself, as time goes on. */
    if (unchanged && !final && l->error[0] == '\0' && l->unsettled_ms == 0) {
        if (l->pair.cert != NULL && judge(site, l, l->pair.cert, &err) < 0) {
            blame(site, l, l->pair.cert, l->chain_path, err.msg);
        }
        return;
    }
    if (amy__pair_read(l->chain_path, l->key_path, &pair, &file, &err) == 0) {
        weigh(site, l, &pair);
        amy__pair_clear(&pair);
        return;
    }
    /* Whoever replaces the files is given the time to replace them all, also
     * where those before were no good; maybe they began after our look. */
    if (l->unsettled_ms == 0 &&
        (l->error[0] == '\0' || !unchanged || !is_unchanged(l))) {
        l->unsettled_ms = now_ms;
    }
    if (final || l->unsettled_ms == 0 ||
        now_ms - l->unsettled_ms >= AMY__LINEAGE_SETTLE_MS) {
        blame(site, l, NULL, file, err.msg);
    }
}
