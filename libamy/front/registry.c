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

/* Not yet on the list, and without a roster. */
static int
allocate_entry(struct amy__registry *registry, const char *site,
               const char *pool, struct entry **ret_entry)
{
    struct entry *entry = amy__calloc(1, sizeof(*entry));

    if (entry == NULL) {
        return AMY_ENOMEM;
    }
    entry->registry = registry;
    entry->dir_fd = -1;
    entry->kept = true;
    entry->tag = ++registry->last_tag;
    entry->site = amy__strdup(site);
    entry->pool = amy__strdup(pool);
    if (entry->site == NULL || entry->pool == NULL) {
        free_entry(entry);
        return AMY_ENOMEM;
    }
    *ret_entry = entry;
    return 0;
}

/* A new pool, not yet on the list. */
static int
make_entry(struct amy__registry *registry, const char *site, const char *pool,
           uint32_t slots, struct entry **ret_entry, struct amy_error *err)
{
    struct entry *entry = NULL;
    int rc = allocate_entry(registry, site, pool, &entry);

    if (rc == 0) {
        rc = amy__roster_open(&registry->roster, slots, &entry->roster);
    }
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
        if (entry->dir_fd < 0) { /* of a program before this one */
            look(entry);
        }
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

/* ---- from program to program ---- */

static struct amy__json *
worker_json(const struct amy__roster_worker *worker)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "name", amy__json_text(worker->name));
    (void)amy__json_set(json, "generation",
                        amy__json_int((int64_t)worker->generation));
    (void)amy__json_set(json, "position", amy__json_int(worker->position));
    (void)amy__json_set(json, "slot", amy__json_int(worker->slot));
    (void)amy__json_set(json, "slots", amy__json_int(worker->slots));
    (void)amy__json_set(json, "incarnation",
                        amy__json_int((int64_t)worker->incarnation));
    (void)amy__json_set(json, "inode", amy__json_int((int64_t)worker->inode));
    (void)amy__json_set(json, "born_ns", amy__json_int(worker->born_ns));
    return json;
}

static struct amy__json *
entry_json(const struct entry *entry)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *workers = amy__json_array();

    (void)amy__json_set(json, "site", amy__json_text(entry->site));
    (void)amy__json_set(json, "pool", amy__json_text(entry->pool));
    (void)amy__json_set(json, "servers", amy__json_bool(entry->servers));
    (void)amy__json_set(json, "index", amy__json_int(entry->roster.index));
    (void)amy__json_set(json, "slots", amy__json_int(entry->roster.slots));
    for (const struct amy__roster_worker *w = entry->roster.workers; w != NULL;
         w = w->next) {
        (void)amy__json_add(workers, worker_json(w));
    }
    (void)amy__json_set(json, "workers", workers);
    return json;
}

struct amy__json *
amy__registry_save(const struct amy__registry *registry)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *pools = amy__json_array();

    for (const struct entry *e = registry->entries; e != NULL; e = e->next) {
        (void)amy__json_add(pools, entry_json(e));
    }
    (void)amy__json_set(json, "incarnation",
                        amy__json_int((int64_t)registry->roster.incarnation));
    (void)amy__json_set(json, "pools", pools);
    return json;
}

/* The list is the last one first; put back from its end, it is so again. */
static int
restore_workers(struct entry *entry, const struct amy__json *list)
{
    struct amy__registry *registry = entry->registry;
    int rc = 0;

    for (size_t i = amy__json_count(list); rc == 0 && i > 0; i--) {
        const struct amy__json *one = amy__json_at(list, i - 1);
        struct amy__roster_worker like = {
            .generation = (uint64_t)amy__json_get_int(one, "generation", 0),
            .position = (uint32_t)amy__json_get_int(one, "position", 0),
            .slot = (uint32_t)amy__json_get_int(one, "slot", -1),
            .slots = (uint32_t)amy__json_get_int(one, "slots", 0),
            .incarnation = (uint64_t)amy__json_get_int(one, "incarnation", 0),
            .inode = (uint64_t)amy__json_get_int(one, "inode", 0),
            .born_ns = amy__json_get_int(one, "born_ns", 0),
        };

        (void)amy__span_copy(amy__span_of(amy__json_get_text(one, "name", "")),
                             like.name, sizeof(like.name));
        rc = amy__roster_return(&registry->roster, &entry->roster, &like);
    }
    return rc;
}

static int
restore_entry(struct amy__registry *registry, const struct amy__json *json,
              struct amy_error *err)
{
    struct amy__roster_pool roster = {0};
    struct entry *entry = NULL;
    uint32_t slots = (uint32_t)amy__json_get_int(json, "slots", 1);
    int rc = amy__roster_reopen(&registry->roster,
                                (uint32_t)amy__json_get_int(json, "index", -1),
                                slots, &roster);

    if (rc == 0) {
        rc = allocate_entry(registry, amy__json_get_text(json, "site", ""),
                            amy__json_get_text(json, "pool", ""), &entry);
    }
    if (rc == 0) {
        entry->roster = roster;
        entry->kept = false;
        entry->servers = amy__json_get_bool(json, "servers", false);
        entry->next = registry->entries;
        registry->entries = entry;
        rc = restore_workers(entry, amy__json_get(json, "workers"));
    }
    return rc == 0 ? 0 : amy__err(err, rc, "state: pools and their workers");
}

int
amy__registry_restore(struct amy__registry *registry,
                      const struct amy__json *saved, struct amy_error *err)
{
    const struct amy__json *pools = amy__json_get(saved, "pools");
    int rc = 0;

    registry->roster.incarnation =
        (uint64_t)amy__json_get_int(saved, "incarnation", 0);
    for (size_t i = 0; rc == 0 && i < amy__json_count(pools); i++) {
        rc = restore_entry(registry, amy__json_at(pools, i), err);
    }
    return rc;
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
