/* A site's access.log and error.log: rotated by the master, written by all
 * front processes. Not for the rotation itself: that is the room logrotate. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "front/master.h"
#include "logrotate/logrotate.h"
#include "logrotate/writer.h"
#include "site/logs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"access.log", "error.log", NULL};

static size_t
index_of(const char *name)
{
    size_t i = 0;

    while (i < AMY__FRONT_LOGS && strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

/* ---- handing out ---- */

static void
release(struct amy__front_site *site, size_t i)
{
    site->logs[i].waiting = 0;
    amy_logrotate_release(site->rotator, names[i], site->logs[i].file_serial);
}

/* To every process that was ever told of files; who comes later gets it with
 * its bundle. */
static void
send_log(struct amy__front_site *site, size_t i)
{
    struct amy_front *front = site->front;
    struct amy__front_log *log = &site->logs[i];
    struct amy__json *json = amy__json_object();
    uint64_t told = 0;

    (void)amy__json_set(json, "site", amy__json_text(site->name));
    (void)amy__json_set(json, "log", amy__json_text(names[i]));
    (void)amy__json_set(json, "serial", amy__json_int((int64_t)log->serial));
    (void)amy__json_set(json, "log_fd", amy__json_int(0));
    for (uint32_t p = 0; p < AMY__PROCESSES_MAX && json != NULL; p++) {
        if (front->processes[p].told_pages) {
            told |= amy__front_bit(p);
            log->waiting = told;
            amy__front_tell(&front->processes[p], AMY__WIRE_LOG, json, &log->fd,
                            1);
        }
    }
    amy__json_free(json);
}

/* While anything of ours has the old file open, it cannot be packed. */
static void
renew_version(const struct amy__front_site *site,
              struct amy__front_version *version)
{
    for (size_t i = 0; version != NULL && i < version->bundle->site_count;
         i++) {
        if (strcmp(version->bundle->sites[i].name, site->name) == 0) {
            amy__front_logs_freshen(site, &version->bundle->sites[i]);
        }
    }
}

static void
on_file(struct amy_logrotate *rotator, const struct amy_logrotate_file *file,
        void *user)
{
    struct amy__front_site *site = user;
    size_t i = index_of(file->name);
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);

    if (i == AMY__FRONT_LOGS || fd < 0) {
        amy__log(&site->front->log, AMY_LOG_ERROR,
                 "no descriptor left for a log site=%s file=%s", site->name,
                 file->name);
        if (i < AMY__FRONT_LOGS) {
            amy__logrotate_give_again(rotator, file->name);
        }
        return; /* the file before goes on until then */
    }
    amy__close(&site->logs[i].fd);
    site->logs[i] = (struct amy__front_log){
        .fd = fd,
        .serial = ++site->front->last_log_serial,
        .file_serial = file->serial,
    };
    renew_version(site, site->front->current);
    renew_version(site, site->front->staged);
    send_log(site, i);
    if (site->logs[i].waiting == 0) {
        amy_logrotate_release(rotator, names[i], file->serial);
    }
}

void
amy__front_log_acked(struct amy__front_site *site, uint32_t process,
                     const char *name, uint64_t serial)
{
    size_t i = index_of(name);
    struct amy__front_log *log = i < AMY__FRONT_LOGS ? &site->logs[i] : NULL;

    if (log == NULL || serial != log->serial ||
        (log->waiting & amy__front_bit(process)) == 0) {
        return; /* of a file that is old itself by now */
    }
    log->waiting &= ~amy__front_bit(process);
    if (log->waiting == 0) {
        release(site, i);
    }
}

void
amy__front_logs_lost(struct amy_front *front, uint32_t process)
{
    for (struct amy__front_site *s = front->sites; s != NULL; s = s->next) {
        for (size_t i = 0; i < AMY__FRONT_LOGS; i++) {
            amy__front_log_acked(s, process, names[i], s->logs[i].serial);
        }
    }
}

/* Where it is a quota's, no look at the file system shows it. */
void
amy__front_log_full(struct amy_front *front, const char *name)
{
    const struct amy__front_site *site = amy__front_site(front, name);

    if (site != NULL && site->rotator != NULL) {
        amy_logrotate_disk_full(site->rotator);
    }
}

/* ---- their lives ---- */

int
amy__front_logs_begin(struct amy_front *front, struct amy_error *err)
{
    return amy__logrotate_peers_create(front->opts.base, &front->log_peers,
                                       err);
}

static int
begin(struct amy__front_site *site, const struct amy__site *spec,
      struct amy_error *err)
{
    struct amy_front *front = site->front;
    const struct amy__site_logs_spec logs = {
        .base = front->opts.base,
        .borrow_peers = front->log_peers,
        .webapps_fd = front->webapps_fd,
        .borrow_clock = front->opts.borrow_clock,
        .log = &front->log,
        .own = names,
        .kind = AMY_LOGROTATE_GIVEN,
        .on_file = on_file,
        .user = site,
    };
    struct amy__site_locks *locks = &front->locks[site->index];
    int rc = amy__front_lock_logs(front, site->index, err);

    if (rc == 0) {
        rc = amy__site_logs_create(spec, &logs, &site->rotator, err);
    }
    if (rc == 0) {
        rc = amy_logrotate_set_lock(site->rotator, names[0], &locks->access,
                                    err);
    }
    return rc < 0 ? rc
                  : amy_logrotate_set_lock(site->rotator, names[1],
                                           &locks->error, err);
}

void
amy__front_logs_freshen(const struct amy__front_site *site,
                        struct amy__bundle_site *one)
{
    amy__close(&one->access_fd);
    amy__close(&one->error_fd);
    if (site->logs[0].fd >= 0) {
        one->access_fd = fcntl(site->logs[0].fd, F_DUPFD_CLOEXEC, 0);
    }
    if (site->logs[1].fd >= 0) {
        one->error_fd = fcntl(site->logs[1].fd, F_DUPFD_CLOEXEC, 0);
    }
    one->access_serial = site->logs[0].serial;
    one->error_serial = site->logs[1].serial;
}

/* Nothing is rotated: whoever reads the stream keeps it. */
static int
fill_stdout(struct amy__front_site *site, struct amy__bundle_site *one,
            struct amy_error *err)
{
    for (size_t i = 0; i < AMY__FRONT_LOGS; i++) {
        if (site->logs[i].fd < 0) {
            int fd = amy_log_open_stdout(err);

            if (fd < 0) {
                return fd;
            }
            site->logs[i].fd = fd;
        }
    }
    amy__front_logs_freshen(site, one);
    return 0;
}

int
amy__front_logs_fill(struct amy__front_site *site, const struct amy__site *spec,
                     struct amy__bundle_site *one,
                     char ret_problem[AMY__FRONT_PROBLEM],
                     struct amy_error *err)
{
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};
    int rc = 0;

    if (site->front->settings->logs_stdout) {
        return fill_stdout(site, one, err);
    }
    if (site->rotator == NULL) {
        rc = begin(site, spec, err);
    } else {
        rc = amy__site_logs_renew(spec, false, site->rotator, err);
    }
    if (rc < 0) {
        return rc;
    }
    amy_logrotate_poll(site->rotator);
    amy_logrotate_read(site->rotator, &view);
    (void)snprintf(ret_problem, AMY__FRONT_PROBLEM, "%s", view.problem);
    amy__front_logs_freshen(site, one);
    return 0;
}

void
amy__front_logs_free(struct amy__front_site *site)
{
    amy_logrotate_free(site->rotator);
    site->rotator = NULL;
    for (size_t i = 0; i < AMY__FRONT_LOGS; i++) {
        amy__close(&site->logs[i].fd);
    }
}
