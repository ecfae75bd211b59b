/* Watching the directories in which workers' sockets appear. */
/* Not for connecting to them: front processes do. */
#include "front/registry.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Behind inotify, whose events may be lost. */
#define SLOW_LOOK_MS 2000

struct entry {
    struct entry *next;
    struct amy__registry *registry;
    char *site;
    char *pool;
    int dir_fd;
    uint64_t tag;
    bool kept;
    bool dirty;
    bool servers; /* listed: there is no directory */
    struct amy__roster_pool roster;
};

struct amy__registry {
    struct amy__registry_options opts;
    struct amy_log log;
    struct amy__watch *watch;
    struct amy__timer *timer;
    struct amy__defer *defer;
    struct entry *entries;
    uint64_t last_tag;
    struct amy__roster roster;
};

/* ---- directories ---- */

int
amy__registry_directory(int dir_fd, const char *name, gid_t group,
                        struct amy_error *err)
{
    bool made = mkdirat(dir_fd, name, 0750) == 0;
    int fd = -1;

    if (!made && errno != EEXIST) {
        return amy__err_sys(err, errno, "making directory '%s'", name);
    }
    fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return amy__err_sys(err, errno, "opening directory '%s'", name);
    }
    /* mkdir(2) took the umask off. */
    if (made &&
        (fchmod(fd, 0750) != 0 ||
         (group != AMY__GID_OURS && fchown(fd, (uid_t)-1, group) != 0))) {
        int failure = errno;

        amy__close(&fd);
        return amy__err_sys(err, failure, "handing out directory '%s'", name);
    }
    return fd;
}

/* (Re)open and watch the entry's directory. */
static int
enter(struct entry *entry, struct amy_error *err)
{
    struct amy__registry *registry = entry->registry;
    AMY_CLEANUP(amy__close_p) int site_fd = -1;
    int fd = -1;

    site_fd = amy__registry_directory(registry->opts.borrow_run_fd, entry->site,
                                      registry->opts.group, err);
    if (site_fd < 0) {
        return site_fd;
    }
    fd = amy__registry_directory(site_fd, entry->pool, registry->opts.group,
                                 err);
    if (fd < 0) {
        return fd;
    }
    amy__watch_remove(registry->watch, entry->tag);
    amy__close(&entry->dir_fd);
    entry->dir_fd = fd;
    if (amy__watch_add(registry->watch, fd, entry->tag, err) < 0) {
        amy__log(&registry->log, AMY_LOG_WARN,
                 "workers of %s are seen late: inotify refused site=%s",
                 entry->pool, entry->site);
    }
    return 0;
}

/* ---- looking ---- */

static void
pass_on(const struct amy__roster_pool *roster,
        const struct amy__roster_worker *worker, bool is_new, void *user)
{
    struct entry *entry = user;
    struct amy__registry_pool pool = {entry->site, entry->pool, roster,
                                      entry->servers};

    entry->registry->opts.fn(&pool, worker, is_new, entry->registry->opts.user);
}

static void
see(struct entry *entry, int dir_fd, const char *name)
{
    struct amy__registry *registry = entry->registry;
    struct stat st = {0};
    int rc = 0;

    if (name[0] == '.' ||
        fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISSOCK(st.st_mode)) {
        return;
    }
    rc = amy__roster_see(&registry->roster, &entry->roster, name, st.st_ino,
                         st.st_mtim.tv_sec * INT64_C(1000000000) +
                             st.st_mtim.tv_nsec,
                         pass_on, entry);
    if (rc < 0) {
        amy__log(&registry->log, AMY_LOG_ERROR,
                 "a worker gets no requests: %s site=%s worker=%s/%s",
                 rc == AMY_ELIMIT ? "all slots are given" : "out of memory",
                 entry->site, entry->pool, name);
    }
}

static void
look(struct entry *entry)
{
    struct stat st = {0};
    int fd = -1;
    DIR *dir = NULL;

    entry->dirty = false;
    if (entry->servers) {
        return;
    }
    if ((entry->dir_fd < 0 || fstat(entry->dir_fd, &st) != 0 ||
         st.st_nlink == 0) &&
        enter(entry, NULL) < 0) {
        return; /* the slow look tries again */
    }
    fd = openat(entry->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        amy__close(&fd);
        return;
    }
    amy__roster_begin(&entry->roster);
    for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        see(entry, fd, d->d_name);
    }
    amy__roster_end(&entry->registry->roster, &entry->roster, pass_on, entry);
    (void)closedir(dir); /* and with it fd */
}

static void
on_defer(void *user)
{
    struct amy__registry *registry = user;

    for (struct entry *e = registry->entries; e != NULL; e = e->next) {
        if (e->dirty) {
            look(e);
        }
    }
}

static void
on_watch(uint64_t tag, const char *name, void *user)
{
    struct amy__registry *registry = user;

    (void)name;
    for (struct entry *e = registry->entries; e != NULL; e = e->next) {
        if (e->tag == tag) {
            e->dirty = true;
            amy__defer_ask(registry->defer);
        }
    }
}

static void
on_timer(void *user)
{
    struct amy__registry *registry = user;

    for (struct entry *e = registry->entries; e != NULL; e = e->next) {
        look(e);
    }
    if (amy__timer_arm(registry->timer, SLOW_LOOK_MS, NULL) < 0) {
        amy__log(&registry->log, AMY_LOG_ERROR,
                 "out of memory: workers are seen by inotify alone");
    }
}

/* ---- pools ---- */

static void
free_entry(struct entry *entry)
{
    if (entry == NULL) {
        return;
    }
    amy__close(&entry->dir_fd);
    amy__free(entry->site);
    amy__free(entry->pool);
    amy__free(entry);
}

static struct entry *
find(struct amy__registry *registry, const char *site, const char *pool)
{
    for (struct entry *e = registry->entries; e != NULL; e = e->next) {
        if (strcmp(e->site, site) == 0 && strcmp(e->pool, pool) == 0) {
            return e;
        }
    }
    return NULL;
}

void
amy__registry_begin(struct amy__registry *registry)
{
    for (struct entry *e = registry->entries; e != NULL; e = e->next) {
        e->kept = false;
    }
}

/* A new pool, not yet on the list. */
static int
make_entry(struct amy__registry *registry, const char *site, const char *pool,
           uint32_t slots, struct entry **ret_entry, struct amy_error *err)
{
    struct entry *entry = amy__calloc(1, sizeof(*entry));
    int rc = 0;

    if (entry == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a pool");
    }
    entry->registry = registry;
    entry->dir_fd = -1;
    entry->kept = true;
    entry->tag = ++registry->last_tag;
    entry->site = amy__strdup(site);
    entry->pool = amy__strdup(pool);
    rc = entry->site == NULL || entry->pool == NULL
             ? AMY_ENOMEM
             : amy__roster_open(&registry->roster, slots, &entry->roster);
    if (rc < 0) {
        free_entry(entry);
        return amy__err(err, rc, "pool '%s' of '%s'", pool, site);
    }
    *ret_entry = entry;
    return 0;
}

int
amy__registry_keep(struct amy__registry *registry, const char *site,
                   const char *pool, uint32_t slots, struct amy_error *err)
{
    struct entry *entry = find(registry, site, pool);
    int rc = 0;

    if (entry != NULL) {
        entry->kept = true;
        entry->roster.slots = slots;
        return 0;
    }
    rc = make_entry(registry, site, pool, slots, &entry, err);
    if (rc < 0) {
        return rc;
    }
    rc = enter(entry, err); /* an error, but the slow look tries again */
    entry->next = registry->entries;
    registry->entries = entry;
    look(entry);
    return rc;
}

int
amy__registry_keep_servers(struct amy__registry *registry, const char *site,
                           const char *pool, uint32_t slots,
                           char *const *addresses, struct amy_error *err)
{
    struct entry *entry = find(registry, site, pool);
    int rc = 0;

    if (entry == NULL) {
        rc = make_entry(registry, site, pool, slots, &entry, err);
        if (rc < 0) {
            return rc;
        }
        entry->servers = true;
        entry->next = registry->entries;
        registry->entries = entry;
    }
    entry->kept = true;
    entry->roster.slots = slots;
    amy__roster_begin(&entry->roster);
    for (; rc == 0 && *addresses != NULL; addresses++) {
        rc = amy__roster_list(&registry->roster, &entry->roster, *addresses,
                              pass_on, entry);
    }
    amy__roster_end(&registry->roster, &entry->roster, pass_on, entry);
    return rc == 0 ? 0
                   : amy__err(err, rc, "servers of '%s%s': %s", site, pool,
                              rc == AMY_ELIMIT ? "all slots are given"
                                               : "out of memory");
}

void
amy__registry_end(struct amy__registry *registry)
{
    struct entry **at = &registry->entries;

    while (*at != NULL) {
        struct entry *entry = *at;

        if (entry->kept) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        amy__watch_remove(registry->watch, entry->tag);
        amy__roster_close(&registry->roster, &entry->roster, pass_on, entry);
        free_entry(entry);
    }
}

void
amy__registry_each(struct amy__registry *registry, amy__registry_fn fn,
                   void *user)
{
    for (struct entry *e = registry->entries; e != NULL; e = e->next) {
        struct amy__registry_pool pool = {e->site, e->pool, &e->roster,
                                          e->servers};

        for (struct amy__roster_worker *w = e->roster.workers; w != NULL;
             w = w->next) {
            fn(&pool, w, true, user);
        }
    }
}

bool
amy__registry_at(const struct amy__registry *registry, size_t i,
                 struct amy__registry_pool *ret_pool)
{
    const struct entry *e = registry->entries;

    while (e != NULL && i > 0) {
        e = e->next;
        i--;
    }
    if (e != NULL) {
        *ret_pool = (struct amy__registry_pool){e->site, e->pool, &e->roster,
                                                e->servers};
    }
    return e != NULL;
}

/* ---- life ---- */

int
amy__registry_create(const struct amy__registry_options *opts,
                     struct amy__registry **ret_registry, struct amy_error *err)
{
    struct amy__registry *registry = amy__calloc(1, sizeof(*registry));
    int rc = 0;

    if (registry == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating the registry");
    }
    registry->opts = *opts;
    registry->log = amy__log_copy(opts->log);
    registry->opts.log = NULL;
    rc = amy__watch_create(opts->base, on_watch, registry, &registry->watch,
                           err);
    if (rc == 0) {
        rc = amy__defer_create(opts->base, on_defer, registry, &registry->defer,
                               err);
    }
    if (rc == 0) {
        rc = amy__timer_create(opts->base, on_timer, registry, &registry->timer,
                               err);
    }
    if (rc == 0) {
        rc = amy__timer_arm(registry->timer, SLOW_LOOK_MS, err);
    }
    if (rc < 0) {
        amy__registry_free(registry);
        return rc;
    }
    *ret_registry = registry;
    return 0;
}

static void
ignore(const struct amy__roster_pool *pool,
       const struct amy__roster_worker *worker, bool is_new, void *user)
{
    (void)pool;
    (void)worker;
    (void)is_new;
    (void)user;
}

void
amy__registry_free(struct amy__registry *registry)
{
    if (registry == NULL) {
        return;
    }
    amy__watch_free(registry->watch);
    amy__timer_free(registry->timer);
    amy__defer_free(registry->defer);
    while (registry->entries != NULL) {
        struct entry *entry = registry->entries;

        registry->entries = entry->next;
        amy__roster_close(&registry->roster, &entry->roster, ignore, NULL);
        free_entry(entry);
    }
    amy__free(registry);
}
