/* Keeping certificates: which there are, and when each is looked at. */
/* Not for judging one (lineage.c), nor for serving them (served.c). */
#include "front/certs.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/watch.h"
#include "front/lineage.h"
#include "site/fields.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CERTS_MAGIC 0x63657274U
#define LIVE_TAG 0U
#define SETTLE_STEP_MS 100
#define UNWATCHED_MS 1000 /* a directory that is not there yet is asked for */

struct certs_site {
    struct certs_site *next;
    struct amy__certs *certs;
    char *domain;
    bool automatic;
    struct amy__lineages all;
};

struct amy__certs {
    uint32_t magic;
    struct amy__certs_options opts;
    struct amy_log log;
    char *live;
    struct stat live_dir; /* as watched; st_ino 0: not watched */
    struct amy__watch *watch;
    struct amy__timer *timer;
    struct amy__defer *defer;
    struct certs_site *sites;
    uint64_t last_tag;
};

AMY_DEFINE_CLEANUP(struct amy__certs *, amy__certs_free)

/* ---- watching ---- */

/* Have the directory at path watched under that tag; *was: the one that is. */
static void
watch_dir(struct amy__certs *certs, const char *path, uint64_t tag,
          struct stat *was)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct stat now = {0};

    if (certs->watch == NULL) {
        return;
    }
    if (stat(path, &now) == 0 && now.st_ino == was->st_ino &&
        now.st_dev == was->st_dev) {
        return;
    }
    amy__watch_remove(certs->watch, tag);
    *was = (struct stat){0};
    fd = amy__open_dir(path, NULL);
    if (fd >= 0 && fstat(fd, &now) == 0 &&
        amy__watch_add(certs->watch, fd, tag, NULL) == 0) {
        *was = now;
    }
}

/* Before the look: what changes behind it is seen. */
static void
watch_lineage(struct amy__certs *certs, struct amy__lineage *l)
{
    char chain_dir[PATH_MAX];
    char key_dir[PATH_MAX];

    amy__lineage_directory(l->chain_path, chain_dir, sizeof(chain_dir));
    amy__lineage_directory(l->key_path, key_dir, sizeof(key_dir));
    watch_dir(certs, chain_dir, l->tag, &l->chain_dir);
    if (strcmp(chain_dir, key_dir) != 0) {
        watch_dir(certs, key_dir, l->tag + 1, &l->key_dir);
    }
}

/* ---- which there are ---- */

static void
drop_lineage(struct certs_site *site, struct amy__lineage *l)
{
    struct amy__watch *watch = site->certs->watch;

    if (watch != NULL) {
        amy__watch_remove(watch, l->tag);
        amy__watch_remove(watch, l->tag + 1);
    }
    site->all.changed = site->all.changed || l->pair.cert != NULL;
    amy__lineage_free(l);
}

static struct amy__lineage *
find_lineage(const struct certs_site *site, const char *certificate,
             const char *key)
{
    for (size_t i = 0; i < site->all.count; i++) {
        struct amy__lineage *l = site->all.list[i];

        if (strcmp(l->name, certificate) == 0 &&
            (key == NULL || strcmp(l->key_path, key) == 0)) {
            return l;
        }
    }
    return NULL;
}

/* 0 also where the site has as many as it may. */
static int
need_lineage(struct certs_site *site, const char *certificate, const char *key)
{
    struct amy__lineage *l = NULL;

    if (site->all.count == AMY__SITE_CERTS_MAX ||
        find_lineage(site, certificate, key) != NULL) {
        return 0;
    }
    l = amy__lineage_create(site->certs->live, certificate, key);
    if (l == NULL) {
        return AMY_ENOMEM;
    }
    site->certs->last_tag += 2;
    l->tag = site->certs->last_tag;
    site->all.list[site->all.count++] = l;
    return 0;
}

static bool
has_directory(const struct amy__lineage *l)
{
    char dir[PATH_MAX];
    struct stat st = {0};

    amy__lineage_directory(l->chain_path, dir, sizeof(dir));
    return stat(dir, &st) == 0;
}

/* What certbot is told to call the second of two; the name itself first. */
static const char *const endings[] = {"", "-ecdsa", "-rsa"};
#define ENDINGS (sizeof(endings) / sizeof(endings[0]))

/* `auto` would look for it. */
static bool
is_automatic(const struct certs_site *site, const struct amy__lineage *l)
{
    for (char **name = site->all.names; *name != NULL; name++) {
        size_t n = strlen(*name);

        for (size_t i = 0; i < ENDINGS; i++) {
            if (strncmp(l->name, *name, n) == 0 &&
                strcmp(l->name + n, endings[i]) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Those whose directory is gone, as long as others are there. final: also those
 * that are served, and what `auto` does not mean any more. */
static void
drop_gone(struct certs_site *site, bool final)
{
    for (size_t i = site->all.count; i > 0; i--) {
        struct amy__lineage *l = site->all.list[i - 1];
        bool gone = site->all.count > 1 && !has_directory(l) &&
                    (l->pair.cert == NULL || final);

        if (!gone && (!final || is_automatic(site, l))) {
            continue;
        }
        memmove(&site->all.list[i - 1], &site->all.list[i],
                (site->all.count - i) * sizeof(struct amy__lineage *));
        site->all.count--;
        drop_lineage(site, l);
    }
}

static int
need_named(struct certs_site *site, const char *name)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ENDINGS; i++) {
        char whole[NAME_MAX + 1] = "";
        char path[PATH_MAX];
        struct stat st = {0};

        if (snprintf(whole, sizeof(whole), "%s%s", name, endings[i]) >=
            (int)sizeof(whole)) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", site->certs->live, whole);
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            rc = need_lineage(site, whole, NULL);
        }
    }
    return rc;
}

static void
look_at_all(struct certs_site *site, bool final)
{
    for (size_t i = 0; i < site->all.count; i++) {
        watch_lineage(site->certs, site->all.list[i]);
        amy__lineage_look(&site->all, site->all.list[i], final);
    }
}

/* `auto`: by the site's name, then by those aliases that nothing covers. */
static int
find_automatic(struct certs_site *site, bool final)
{
    int rc = need_named(site, site->domain);

    drop_gone(site, final);
    if (rc == 0 && site->all.count == 0) {
        rc = need_lineage(site, site->domain, NULL); /* is to be missed */
    }
    look_at_all(site, final);
    for (char **name = site->all.names + 1; rc == 0 && *name != NULL; name++) {
        size_t before = site->all.count;

        if (!amy__lineages_cover(&site->all, NULL, *name)) {
            rc = need_named(site, *name);
        }
        for (size_t i = before; i < site->all.count; i++) {
            watch_lineage(site->certs, site->all.list[i]);
            amy__lineage_look(&site->all, site->all.list[i], final);
        }
    }
    return rc;
}

/* ---- names without one ---- */

static const char *
next_uncovered(const struct amy__lineages *all, size_t *at)
{
    bool served = false;

    for (size_t i = 0; i < all->count; i++) {
        served = served || all->list[i]->pair.cert != NULL;
    }
    while (served && all->names[*at] != NULL) {
        const char *name = all->names[(*at)++];

        if (!amy__lineages_cover(all, NULL, name)) {
            return name;
        }
    }
    return NULL;
}

/* As names or certificates change. One line, however many there are: status
 * names them all. */
static void
warn_of_uncovered(const struct certs_site *site)
{
    size_t at = 0;
    size_t more = 0;
    const char *first = next_uncovered(&site->all, &at);

    if (first == NULL) {
        return;
    }
    while (next_uncovered(&site->all, &at) != NULL) {
        more++;
    }
    amy__log(&site->certs->log, AMY_LOG_WARN,
             "no certificate of the site covers '%s' site=%s others=%zu", first,
             site->domain, more);
}

/* ---- time ---- */

static void
look_around(struct certs_site *site)
{
    if (!site->automatic) {
        look_at_all(site, false);
    } else if (find_automatic(site, false) < 0) {
        amy__log(&site->certs->log, AMY_LOG_ERROR,
                 "out of memory: certificates are looked for again site=%s",
                 site->domain);
    }
}

static void
arm(struct amy__certs *certs)
{
    int64_t ms = AMY__CERTS_LOOK_MS;

    for (const struct certs_site *site = certs->sites; site != NULL;
         site = site->next) {
        for (size_t i = 0; i < site->all.count; i++) {
            const struct amy__lineage *l = site->all.list[i];

            if (l->unsettled_ms != 0) {
                ms = SETTLE_STEP_MS;
            } else if (certs->live_dir.st_ino == 0 && ms > UNWATCHED_MS) {
                ms = UNWATCHED_MS;
            }
        }
    }
    if (amy__timer_arm(certs->timer, ms, NULL) < 0) {
        amy__log(&certs->log, AMY_LOG_ERROR,
                 "out of memory: certificates are seen by inotify alone");
    }
}

/* Look at everything: some stat(2) for each certificate where nothing changed.
 */
static void
look_at_sites(void *user)
{
    struct amy__certs *certs = user;
    bool changed = false;

    watch_dir(certs, certs->live, LIVE_TAG, &certs->live_dir);
    for (struct certs_site *site = certs->sites; site != NULL;
         site = site->next) {
        look_around(site);
        if (site->all.changed) {
            warn_of_uncovered(site);
        }
        changed = changed || site->all.changed;
        site->all.changed = false;
    }
    arm(certs);
    if (changed) {
        certs->opts.on_change(certs->opts.user); /* the last touch */
    }
}

/* At the end of the turn: certbot's four links are one look. */
static void
on_watch(uint64_t tag, const char *name, void *user)
{
    const struct amy__certs *certs = user;

    (void)tag;
    (void)name;
    amy__defer_ask(certs->defer);
}

/* ---- life ---- */

static int
begin_watching(struct amy__certs *certs, struct amy_error *err)
{
    struct event_base *base = certs->opts.base;
    int rc = amy__timer_create(base, look_at_sites, certs, &certs->timer, err);

    if (rc == 0) {
        rc = amy__defer_create(base, look_at_sites, certs, &certs->defer, err);
    }
    if (rc == 0) {
        rc = amy__watch_create(base, on_watch, certs, &certs->watch, err);
    }
    if (rc < 0 && rc != AMY_ENOMEM) {
        amy__log(&certs->log, AMY_LOG_WARN,
                 "no inotify: certificates are seen late: %s",
                 err == NULL ? "" : err->msg);
        return 0;
    }
    return rc;
}

int
amy__certs_create(const struct amy__certs_options *opts,
                  struct amy__certs **ret_certs, struct amy_error *err)
{
    AMY_CLEANUP(amy__certs_free_p)
    struct amy__certs *certs = amy__calloc(1, sizeof(*certs));
    int rc = 0;

    if (certs == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating certificates");
    }
    certs->magic = CERTS_MAGIC;
    certs->opts = *opts;
    certs->log = amy__log_copy(opts->log);
    certs->live = amy__strdup(opts->live);
    if (certs->live == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating certificates");
    }
    rc = opts->base == NULL ? 0 : begin_watching(certs, err);
    if (rc == 0 && opts->base != NULL) {
        watch_dir(certs, certs->live, LIVE_TAG, &certs->live_dir);
        arm(certs);
    }
    if (rc == 0) {
        *ret_certs = AMY_TAKE(certs);
    }
    return rc;
}

static void
free_site(struct certs_site *site)
{
    for (size_t i = 0; i < site->all.count; i++) {
        drop_lineage(site, site->all.list[i]);
    }
    amy__texts_free(site->all.names);
    amy__free(site->domain);
    amy__free(site);
}

void
amy__certs_free(struct amy__certs *certs)
{
    if (certs == NULL) {
        return;
    }
    AMY_CHECK(certs, CERTS_MAGIC);
    while (certs->sites != NULL) {
        struct certs_site *site = certs->sites;

        certs->sites = site->next;
        free_site(site);
    }
    amy__watch_free(certs->watch);
    amy__timer_free(certs->timer);
    amy__defer_free(certs->defer);
    amy__free(certs->live);
    certs->magic = 0;
    amy__free(certs);
}

static struct certs_site *
find_site(const struct amy__certs *certs, const char *domain)
{
    struct certs_site *site = certs->sites;

    while (site != NULL && strcmp(site->domain, domain) != 0) {
        site = site->next;
    }
    return site;
}

static struct certs_site *
need_site(struct amy__certs *certs, const char *domain)
{
    struct certs_site *site = find_site(certs, domain);

    if (site != NULL) {
        return site;
    }
    site = amy__calloc(1, sizeof(*site));
    if (site == NULL) {
        return NULL;
    }
    site->domain = amy__strdup(domain);
    if (site->domain == NULL) {
        amy__free(site);
        return NULL;
    }
    site->certs = certs;
    site->all.borrow_clock = certs->opts.borrow_clock;
    site->all.borrow_log = &certs->log;
    site->next = certs->sites;
    certs->sites = site;
    return site;
}

static int
take_names(struct certs_site *site, const struct amy__site *spec)
{
    char **names = NULL;
    bool done = amy__texts_add(&names, spec->domain);

    for (size_t i = 0; done && spec->aliases[i] != NULL; i++) {
        done = amy__texts_add(&names, spec->aliases[i]);
    }
    if (!done) {
        amy__texts_free(names);
        return AMY_ENOMEM;
    }
    amy__texts_free(site->all.names);
    site->all.names = names;
    return 0;
}

/* Exactly those that are listed, in their order. */
static int
take_list(struct certs_site *site, const struct amy__site *spec)
{
    struct certs_site old = *site;
    int rc = 0;

    site->all.count = 0;
    for (size_t i = 0; rc == 0 && i < spec->cert_count; i++) {
        const struct amy__site_cert *cert = &spec->certs[i];
        struct amy__lineage *l =
            find_lineage(&old, cert->certificate, cert->key);

        if (l == NULL) {
            rc = need_lineage(site, cert->certificate, cert->key);
        } else if (find_lineage(site, cert->certificate, cert->key) == NULL) {
            site->all.list[site->all.count++] = l;
        }
    }
    for (size_t i = 0; i < old.all.count; i++) {
        const struct amy__lineage *l = old.all.list[i];

        if (find_lineage(site, l->name, l->key_path) != l) {
            drop_lineage(site, old.all.list[i]);
        }
    }
    return rc;
}

int
amy__certs_read(struct amy__certs *certs, const struct amy__site *spec,
                struct amy_error *err)
{
    struct certs_site *site = NULL;
    int rc = AMY_ENOMEM;

    AMY_CHECK(certs, CERTS_MAGIC);
    site = need_site(certs, spec->domain);
    if (site != NULL) {
        rc = take_names(site, spec);
    }
    if (rc == 0) {
        site->automatic = spec->cert_count == 0;
        rc = site->automatic ? find_automatic(site, true)
                             : take_list(site, spec);
    }
    if (rc == 0 && !site->automatic) {
        look_at_all(site, true);
    }
    if (site != NULL) {
        site->all.changed = false; /* the caller knows */
    }
    if (rc == 0) {
        warn_of_uncovered(site);
    }
    if (certs->timer != NULL) {
        arm(certs);
    }
    return rc < 0 ? amy__err(err, rc, "looking for certificates") : 0;
}

void
amy__certs_forget(struct amy__certs *certs, const char *domain)
{
    for (struct certs_site **at = &certs->sites; *at != NULL;
         at = &(*at)->next) {
        struct certs_site *site = *at;

        if (strcmp(site->domain, domain) == 0) {
            *at = site->next;
            free_site(site);
            return;
        }
    }
}

/* ---- what there is ---- */

int
amy__certs_fill(const struct amy__certs *certs, const char *domain,
                struct amy__bundle_site *one, struct amy_error *err)
{
    const struct certs_site *site = find_site(certs, domain);

    amy__bundle_certs_clear(one);
    for (size_t i = 0; site != NULL && i < site->all.count; i++) {
        const struct amy__lineage *l = site->all.list[i];
        int rc = 0;

        if (l->pair.cert == NULL) {
            continue;
        }
        rc = amy__bundle_cert_copy(&l->pair.sealed,
                                   &one->certs[one->cert_count], err);
        if (rc < 0) {
            amy__bundle_certs_clear(one);
            return rc;
        }
        one->cert_count++;
    }
    return 0;
}

size_t
amy__certs_served(const struct amy__certs *certs, const char *domain,
                  struct amy__tls_cert **ret_borrow)
{
    const struct certs_site *site = find_site(certs, domain);
    size_t count = 0;

    for (size_t i = 0; site != NULL && i < site->all.count; i++) {
        if (site->all.list[i]->pair.cert != NULL) {
            ret_borrow[count++] = site->all.list[i]->pair.cert;
        }
    }
    return count;
}

const char *
amy__certs_uncovered(const struct amy__certs *certs, const char *domain,
                     size_t *at)
{
    const struct certs_site *site = find_site(certs, domain);

    return site == NULL || site->all.names == NULL
               ? NULL
               : next_uncovered(&site->all, at);
}

bool
amy__certs_at(const struct amy__certs *certs, const char *domain, size_t i,
              struct amy__cert_view *ret)
{
    const struct certs_site *site = find_site(certs, domain);
    const struct amy__lineage *l = NULL;

    if (site == NULL || i >= site->all.count) {
        return false;
    }
    l = site->all.list[i];
    *ret = (struct amy__cert_view){
        .name = l->name,
        .borrow_cert = l->pair.cert,
        .error = l->error,
        .file = l->file == NULL ? "" : l->file,
        .error_wall_ms = l->error_wall_ms,
        .refused = l->refused,
    };
    return true;
}
