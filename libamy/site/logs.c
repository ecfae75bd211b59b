/* Makes the rotator of a site's logs. */
/* Not for what it does: that is the room logrotate. */
#include "site/logs.h"

#include "core/buf.h"
#include "core/error.h"
#include "core/files.h"
#include "logrotate/leftover.h"
#include "logrotate/logrotate.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LOGROTATE_DIR "/etc/logrotate.d"
#define ENTRIES_MAX 500U
#define ENTRY_MAX ((size_t)64 * 1024)

/* All that is written into logs/ by one daemon or another. */
static const char *const all_logs[] = {"access.log", "error.log",
                                       "gunicorn_supervisor.log", "backup.log",
                                       "deploy.log"};

static void
take_limits(const struct amy__site *site, struct amy_logrotate_options *opts)
{
    opts->uid = (uint32_t)site->uid;
    opts->gid = (uint32_t)site->gid;
    opts->size_bytes = site->logs_size_bytes;
    opts->every = (uint32_t)site->logs_every;
    opts->keep = site->logs_keep;
    opts->max_age_ms = site->logs_max_age_ms;
    opts->total_bytes = site->logs_total_bytes;
    opts->packing = (uint32_t)site->logs_packing;
}

static bool
is_own(const struct amy__site_logs_spec *spec, const char *name)
{
    for (const char *const *at = spec->own; at != NULL && *at != NULL; at++) {
        if (strcmp(*at, name) == 0) {
            return true;
        }
    }
    return false;
}

bool
amy__site_logs_is_ours(struct amy__span name)
{
    for (size_t i = 0; i < sizeof(all_logs) / sizeof(all_logs[0]); i++) {
        if (amy__span_eq(name, amy__span_of(all_logs[i]))) {
            return true;
        }
    }
    return false;
}

/* Who rotates the files of others also takes what is written by several. */
static uint32_t
kind_of(const struct amy__site_logs_spec *spec, const char *name)
{
    if (is_own(spec, name)) {
        return spec->kind;
    }
    return spec->files && strcmp(name, "deploy.log") == 0
               ? (uint32_t)AMY_LOGROTATE_NAMED
               : (uint32_t)AMY_LOGROTATE_OTHERS;
}

static int
add_files(const struct amy__site *site, bool files,
          struct amy_logrotate *rotator, struct amy_error *err)
{
    uint32_t kind = files ? AMY_LOGROTATE_NAMED : AMY_LOGROTATE_OTHERS;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < site->log_file_count; i++) {
        rc = amy_logrotate_add(rotator, site->log_files[i].path, kind, err);
        rc = rc == AMY_EEXIST ? 0 : rc;
    }
    return rc;
}

int
amy__site_logs_create(const struct amy__site *site,
                      const struct amy__site_logs_spec *spec,
                      struct amy_logrotate **ret_rotator, struct amy_error *err)
{
    struct amy_logrotate_options opts = AMY_LOGROTATE_OPTIONS_INIT;
    struct amy_logrotate *rotator = NULL;
    char directory[NAME_MAX + sizeof("/logs")] = "";
    int rc = 0;

    (void)snprintf(directory, sizeof(directory), "%s/logs", site->domain);
    take_limits(site, &opts);
    opts.base = spec->base;
    opts.directory = directory;
    opts.dir_fd_plus_one = spec->webapps_fd + 1;
    opts.borrow_clock = spec->borrow_clock;
    opts.log = spec->log;
    opts.on_file = spec->on_file;
    opts.user = spec->user;
    rc = amy__logrotate_create(&opts, spec->borrow_peers, &rotator, err);
    for (size_t i = 0; rc == 0 && i < sizeof(all_logs) / sizeof(all_logs[0]);
         i++) {
        rc = amy_logrotate_add(rotator, all_logs[i], kind_of(spec, all_logs[i]),
                               err);
    }
    rc = rc == 0 ? add_files(site, spec->files, rotator, err) : rc;
    if (rc < 0) {
        amy_logrotate_free(rotator);
        return rc;
    }
    *ret_rotator = rotator;
    return 0;
}

int
amy__site_logs_renew(const struct amy__site *site, bool files,
                     struct amy_logrotate *rotator, struct amy_error *err)
{
    int rc = 0;

    struct amy_logrotate_options opts = AMY_LOGROTATE_OPTIONS_INIT;

    take_limits(site, &opts);
    rc = amy_logrotate_set(rotator, &opts, err);
    return rc == 0 ? add_files(site, files, rotator, err) : rc;
}

/* One entry, which root wrote. */
static bool
names_ours(int dir_fd, const char *entry, const char *webapps,
           const char *domain)
{
    struct amy__buf text = {0};
    char path[PATH_MAX] = "";
    bool found = false;

    amy__buf_init(&text, ENTRY_MAX);
    if (amy__read_file_at(dir_fd, entry, ENTRY_MAX, &text, NULL, NULL) < 0) {
        text.len = 0;
    }
    for (size_t i = 0; !found && i < sizeof(all_logs) / sizeof(all_logs[0]);
         i++) {
        (void)snprintf(path, sizeof(path), "%s/%s/logs/%s", webapps, domain,
                       all_logs[i]);
        found = amy__logrotate_leftover(amy__buf_span(&text), path);
    }
    amy__buf_clear(&text);
    return found;
}

bool
amy__site_logs_leftover(const char *webapps, const char *domain,
                        char ret_entry[NAME_MAX + 1])
{
    DIR *dir = opendir(LOGROTATE_DIR);
    const struct dirent *entry = NULL;
    bool found = false;

    for (size_t i = 0; dir != NULL && !found && i < ENTRIES_MAX; i++) {
        entry = readdir(dir);
        if (entry == NULL) {
            break;
        }
        found = entry->d_name[0] != '.' &&
                names_ours(dirfd(dir), entry->d_name, webapps, domain);
        if (found) {
            (void)snprintf(ret_entry, NAME_MAX + 1, "%s", entry->d_name);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return found;
}

struct amy__json *
amy__site_logs_json(const struct amy_logrotate *rotator)
{
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};
    struct amy__json *json = amy__json_object();

    if (rotator == NULL) {
        return json;
    }
    amy_logrotate_read(rotator, &view);
    (void)amy__json_set(json, "bytes", amy__json_int((int64_t)view.bytes));
    (void)amy__json_set(json, "old_files",
                        amy__json_int((int64_t)view.old_files));
    (void)amy__json_set(json, "rotations",
                        amy__json_int((int64_t)view.rotations));
    (void)amy__json_set(json, "packed", amy__json_int((int64_t)view.packed));
    (void)amy__json_set(json, "removed", amy__json_int((int64_t)view.removed));
    (void)amy__json_set(json, "waiting", amy__json_int((int64_t)view.waiting));
    (void)amy__json_set(json, "problem", amy__json_text(view.problem));
    return json;
}
