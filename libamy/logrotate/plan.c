/* Decides when a log's file is changed and which old ones go. */
/* Not for doing it: that is logrotate/logrotate.c. */
#include "logrotate/plan.h"

#include <stdlib.h>

#define HOUR_MS (INT64_C(3600) * 1000)

/* Which hour, day or week a time is in. */
static int64_t
period_of(enum amy__logplan_every every, int64_t local_ms)
{
    switch (every) {
    case AMY__LOGPLAN_HOURLY:
        return amy__floor_div(local_ms, HOUR_MS);
    case AMY__LOGPLAN_WEEKLY: /* 1970 began on a Thursday */
        return amy__floor_div(local_ms + 3 * AMY__DAY_MS, 7 * AMY__DAY_MS);
    case AMY__LOGPLAN_DAILY:
        return amy__floor_div(local_ms, AMY__DAY_MS);
    case AMY__LOGPLAN_NEVER:
    default:
        return 0;
    }
}

const char *
amy__logplan_due(const struct amy__logplan_limits *limits, uint64_t bytes,
                 int64_t begun_local_ms, int64_t now_local_ms)
{
    if (bytes == 0) {
        return NULL; /* one empty file is enough */
    }
    if (bytes >= limits->size_bytes) {
        return "size";
    }
    if (period_of(limits->every, now_local_ms) >
        period_of(limits->every, begun_local_ms)) {
        return "time";
    }
    return NULL;
}

/* ---- which old ones go ---- */

static int
compare_files(const void *a, const void *b)
{
    const struct amy__logplan_file *x = a;
    const struct amy__logplan_file *y = b;

    if (x->wall_ms != y->wall_ms) {
        return x->wall_ms < y->wall_ms ? -1 : 1;
    }
    if (x->log != y->log) {
        return x->log < y->log ? -1 : 1;
    }
    if (x->name.sequence != y->name.sequence) {
        return x->name.sequence < y->name.sequence ? -1 : 1;
    }
    if (x->name.partial != y->name.partial) {
        return x->name.partial ? 1 : -1;
    }
    return (int)x->name.packing - (int)y->name.packing;
}

/* Old, whole, and nobody's at work on it. */
static bool
may_go(const struct amy__logplan_file *file)
{
    return file->name.kind != AMY__LOGNAME_CURRENT && !file->name.partial &&
           !file->busy && !file->written && file->verdict == AMY__LOGPLAN_STAYS;
}

/* One file in two guises: plain, and packed by somebody who died then. */
static bool
is_twin(const struct amy__logplan_file *a, const struct amy__logplan_file *b)
{
    return a->log == b->log && a->name.kind == AMY__LOGNAME_ROTATED &&
           b->name.kind == AMY__LOGNAME_ROTATED && !a->name.partial &&
           !b->name.partial && amy__logname_compare(&a->name, &b->name) == 0;
}

static void
mark_old(const struct amy__logplan_limits *limits,
         struct amy__logplan_file *files, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        int64_t age_ms = now_ms - files[i].wall_ms;

        if (files[i].others || age_ms <= limits->max_age_ms) {
            continue;
        }
        files[i].held = files[i].written;
        if (may_go(&files[i])) {
            files[i].verdict = AMY__LOGPLAN_TOO_OLD;
        }
    }
}

static void
mark_many(const struct amy__logplan_limits *limits,
          struct amy__logplan_file *files, size_t count)
{
    uint32_t kept[AMY__LOGPLAN_LOGS_MAX] = {0};

    for (size_t i = count; i-- > 0;) {
        struct amy__logplan_file *file = &files[i];
        bool again = i + 1 < count && is_twin(file, &files[i + 1]);

        if (file->others || file->name.kind == AMY__LOGNAME_CURRENT ||
            file->name.partial || file->verdict != AMY__LOGPLAN_STAYS) {
            continue;
        }
        kept[file->log] += again ? 0U : 1U;
        if (kept[file->log] <= limits->keep) {
            continue;
        }
        file->held = file->held || file->written;
        if (may_go(file)) {
            file->verdict = AMY__LOGPLAN_TOO_MANY;
        }
    }
}

/* Mark the oldest until no more than `most` bytes are left of `bytes`. */
static uint64_t
mark_much(struct amy__logplan_file *files, size_t count, uint64_t bytes,
          uint64_t most, bool packed)
{
    for (size_t i = 0; i < count && bytes > most; i++) {
        bool is_packed = files[i].name.packing != AMY__LOGNAME_PLAIN;

        if (may_go(&files[i]) && is_packed == packed) {
            files[i].verdict = AMY__LOGPLAN_TOO_MUCH;
            bytes -= files[i].bytes;
        }
    }
    return bytes;
}

static void
mark_total(const struct amy__logplan_limits *limits,
           struct amy__logplan_file *files, size_t count)
{
    uint64_t bytes = 0;
    uint64_t written = 0;

    for (size_t i = 0; i < count; i++) {
        if (files[i].written) {
            written += files[i].bytes;
        } else if (files[i].verdict == AMY__LOGPLAN_STAYS) {
            bytes += files[i].bytes;
        }
    }
    bytes = mark_much(files, count, bytes, limits->total_bytes, true);
    bytes = mark_much(files, count, bytes, limits->total_bytes, false);
    for (size_t i = 0; i < count && bytes + written > limits->total_bytes;
         i++) {
        files[i].held = files[i].held || files[i].written;
    }
}

void
amy__logplan_sweep(const struct amy__logplan_limits *limits,
                   struct amy__logplan_file *files, size_t count,
                   int64_t now_ms)
{
    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        files[i].verdict = AMY__LOGPLAN_STAYS;
        files[i].held = false;
    }
    qsort(files, count, sizeof(*files), compare_files);
    mark_old(limits, files, count, now_ms);
    mark_many(limits, files, count);
    mark_total(limits, files, count);
}

size_t
amy__logplan_free(struct amy__logplan_file *files, size_t count, uint64_t bytes)
{
    size_t newest[AMY__LOGPLAN_LOGS_MAX] = {0};
    size_t marked = 0;
    uint64_t freed = 0;

    for (size_t i = 0; i < count; i++) {
        if (may_go(&files[i])) {
            newest[files[i].log] = i;
        }
    }
    for (size_t i = 0;
         i < count && freed < bytes && marked < AMY__LOGPLAN_FREE_MAX; i++) {
        if (may_go(&files[i]) && newest[files[i].log] != i &&
            files[i].name.packing != AMY__LOGNAME_PLAIN) {
            files[i].verdict = AMY__LOGPLAN_DISK_FULL;
            freed += files[i].bytes;
            marked++;
        }
    }
    return marked;
}
