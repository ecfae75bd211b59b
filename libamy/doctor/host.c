/* Looks at clock, disks and limits. */
/* Not for judging: judge_host.c. */
#include "core/buf.h"
#include "core/cleanup.h"
#include "core/files.h"
#include "core/str.h"
#include "doctor/internal.h"
#include "doctor/judge.h"
#include "doctor/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

void
amy__doctor_clock(struct amy__doctor *doctor)
{
    struct timex timex = {.modes = 0};
    int state = adjtimex(&timex);
    const struct amy__clock_facts facts = {
        .is_known = state >= 0,
        .is_synced = state != TIME_ERROR && (timex.status & STA_UNSYNC) == 0,
    };

    amy__judge_clock(&facts, &doctor->findings);
}

/* ---- disks ---- */

static bool
look_at_disk(const char *path, struct amy__disk_facts *ret_facts)
{
    struct statvfs st;

    if (statvfs(path, &st) < 0) {
        return false;
    }
    *ret_facts = (struct amy__disk_facts){
        .path = path,
        .bytes = (uint64_t)st.f_blocks * st.f_frsize,
        .bytes_free = (uint64_t)st.f_bavail * st.f_frsize,
        .inodes = st.f_files,
        .inodes_free = st.f_favail,
    };
    return true;
}

void
amy__doctor_disk(struct amy__doctor *doctor, const char *path)
{
    struct amy__disk_facts facts;

    if (look_at_disk(path, &facts)) {
        amy__judge_disk(&facts, &doctor->findings);
    } else if (errno == EACCES) {
        amy__finding_is(&doctor->findings, "%s could not be looked at: %s",
                        path, strerror(errno));
        amy__finding_tell(&doctor->findings, AMY_DOCTOR_UNKNOWN, "disk",
                          "run amyctl doctor as root");
    }
}

void
amy__doctor_disks_of_site(struct amy__doctor *doctor,
                          const struct amy__site *site)
{
    static const char *const names[] = {"logs", "DB_backups"};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%.3800s/%s/%s",
                       doctor->settings->webapps, site->domain, names[i]);
        amy__doctor_disk(doctor, path);
    }
}

/* ---- limits ---- */

/* A number in a file of /proc; false: none. */
static bool
read_number(const char *path, uint64_t *ret)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct amy__span span = {NULL, 0};

    amy__buf_init(&text, 256);
    if (amy__read_file_at(AT_FDCWD, path, 255, &text, NULL, NULL) < 0) {
        return false;
    }
    span = amy__buf_span(&text);
    while (span.n > 0 && span.p[span.n - 1] == '\n') {
        span.n--;
    }
    return amy__parse_u64(span, UINT64_MAX, ret);
}

void
amy__doctor_limits(struct amy__doctor *doctor)
{
    bool has_redis = false;
    uint64_t value = 0;

    if (read_number("/proc/sys/net/core/somaxconn", &value)) {
        amy__judge_somaxconn(value, &doctor->findings);
    }
    for (size_t i = 0; i < doctor->site_count; i++) {
        has_redis |= doctor->sites[i]->redis_from != NULL;
    }
    if (has_redis && read_number("/proc/sys/vm/overcommit_memory", &value)) {
        amy__judge_overcommit(value, &doctor->findings);
    }
}

/* "Max open files            1024                 524288               files"
 */
bool
amy__limits_files(struct amy__span text, uint64_t *ret)
{
    struct amy__span line = {NULL, 0};

    while (amy__span_split(&text, '\n', &line)) {
        struct amy__span rest = line;
        struct amy__span word = {NULL, 0};

        if (!amy__span_starts(line, AMY_SPAN("Max open files"))) {
            continue;
        }
        rest.p += sizeof("Max open files") - 1;
        rest.n -= sizeof("Max open files") - 1;
        rest = amy__span_trim(rest);
        return amy__span_split(&rest, ' ', &word) &&
               (amy__parse_u64(word, UINT64_MAX, ret) ||
                ((void)(*ret = UINT64_MAX),
                 amy__span_eq(word, AMY_SPAN("unlimited"))));
    }
    return false;
}
