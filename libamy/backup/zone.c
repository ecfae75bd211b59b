/* Reads TZif files and asks them (RFC 8536). */
/* Not for the rule that goes on after their last entry: that is zone_rule.c. */
#include "backup/zone.h"

#include "backup/zone_rule.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY "/usr/share/zoneinfo"
#define HEADER 44
#define CHANGES_MAX 4096
#define TYPES_MAX 256
#define CHARS_MAX 4096
#define OFFSET_MAX (INT64_C(26) * 3600) /* RFC 8536, section 3.2 */
#define FIRST_S (-(INT64_C(1) << 59))   /* the Big Bang, as zic has it */
/* No zone ever had changes closer than that to both sides of a local time. */
#define WINDOW_S (2 * OFFSET_MAX)

struct change {
    int64_t at_s;
    int64_t offset_s; /* from then on */
};

struct amy__zone {
    int64_t first_offset_s; /* before all changes */
    struct change *changes; /* ascending */
    size_t count;
    bool has_rule; /* what holds after the last change */
    struct amy__zone_rule rule;
};

/* The counts of a header, and where its block ends. */
struct block {
    const unsigned char *data;
    size_t time_bytes; /* 4, and 8 from version 2 on */
    size_t changes;
    size_t types;
    size_t chars;
    size_t leaps;
    size_t std_flags;
    size_t ut_flags;
};

static uint32_t
read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

static int64_t
read_i32(const unsigned char *p)
{
    return (int32_t)read_u32(p);
}

static int64_t
read_time(const unsigned char *p, size_t bytes)
{
    if (bytes == 4) {
        return read_i32(p);
    }
    return (int64_t)((uint64_t)read_u32(p) << 32 | read_u32(p + 4));
}

static size_t
block_size(const struct block *b)
{
    return b->changes * (b->time_bytes + 1) + b->types * 6 + b->chars +
           b->leaps * (b->time_bytes + 4) + b->std_flags + b->ut_flags;
}

/* Cut a header and its block off the front of *rest. */
static int
read_block(struct amy__span *rest, size_t time_bytes, struct block *ret,
           struct amy_error *err)
{
    const unsigned char *p = (const unsigned char *)rest->p;
    size_t size = 0;

    if (rest->n < HEADER || memcmp(p, "TZif", 4) != 0) {
        return amy__err(err, AMY_EPARSE, "no zone file");
    }
    *ret = (struct block){
        .data = p + HEADER,
        .time_bytes = time_bytes,
        .ut_flags = read_u32(p + 20),
        .std_flags = read_u32(p + 24),
        .leaps = read_u32(p + 28),
        .changes = read_u32(p + 32),
        .types = read_u32(p + 36),
        .chars = read_u32(p + 40),
    };
    if (ret->changes > CHANGES_MAX || ret->types == 0 ||
        ret->types > TYPES_MAX || ret->chars > CHARS_MAX || ret->leaps > 1000 ||
        ret->std_flags > TYPES_MAX || ret->ut_flags > TYPES_MAX) {
        return amy__err(err, AMY_EPARSE, "a zone file with impossible counts");
    }
    size = block_size(ret);
    if (rest->n - HEADER < size) {
        return amy__err(err, AMY_EPARSE, "a zone file that is cut off");
    }
    rest->p += HEADER + size;
    rest->n -= HEADER + size;
    return 0;
}

static int
read_offset(const struct block *b, size_t type, int64_t *ret_offset_s,
            struct amy_error *err)
{
    const unsigned char *types = b->data + b->changes * (b->time_bytes + 1);
    int64_t offset_s = 0;

    if (type >= b->types) {
        return amy__err(err, AMY_EPARSE, "a zone file without type %zu", type);
    }
    offset_s = read_i32(types + type * 6);
    if (offset_s > OFFSET_MAX || offset_s < -OFFSET_MAX) {
        return amy__err(err, AMY_EPARSE, "a zone %lld s from UTC",
                        (long long)offset_s);
    }
    *ret_offset_s = offset_s;
    return 0;
}

static int
read_changes(const struct block *b, struct amy__zone *zone,
             struct amy_error *err)
{
    const unsigned char *indexes = b->data + b->changes * b->time_bytes;
    int rc = read_offset(b, 0, &zone->first_offset_s, err);

    zone->changes = amy__calloc(b->changes + 1, sizeof(*zone->changes));
    if (zone->changes == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a zone");
    }
    for (size_t i = 0; i < b->changes && rc == 0; i++) {
        struct change *change = &zone->changes[i];

        change->at_s = read_time(b->data + i * b->time_bytes, b->time_bytes);
        if (change->at_s < FIRST_S || change->at_s > -FIRST_S ||
            (i > 0 && change->at_s <= change[-1].at_s)) {
            return amy__err(err, AMY_EPARSE,
                            "a zone file whose changes are out of order");
        }
        rc = read_offset(b, indexes[i], &change->offset_s, err);
        zone->count++;
    }
    return rc;
}

/* "\nTZ\n" after the second block. An empty one: nothing is known. */
static int
read_footer(struct amy__span rest, struct amy__zone *zone,
            struct amy_error *err)
{
    const char *end = rest.n < 2 || rest.p[0] != '\n'
                          ? NULL
                          : memchr(rest.p + 1, '\n', rest.n - 1);
    struct amy__span text = {NULL, 0};

    if (end == NULL) {
        return amy__err(err, AMY_EPARSE, "a zone file without its last line");
    }
    text = (struct amy__span){rest.p + 1, (size_t)(end - rest.p) - 1};
    if (text.n == 0) {
        return 0;
    }
    if (!amy__zone_rule_parse(text, &zone->rule)) {
        return amy__err(err, AMY_EPARSE, "a zone file with the rule '%.*s'",
                        text.n > 60 ? 60 : (int)text.n, text.p);
    }
    zone->has_rule = true;
    return 0;
}

static int
fill(struct amy__zone *zone, struct amy__span file, struct amy_error *err)
{
    struct amy__span rest = file;
    struct block block = {0};
    bool old = file.n > 4 && file.p[4] == '\0';
    int rc = read_block(&rest, 4, &block, err);

    if (rc == 0 && !old) {
        rc = read_block(&rest, 8, &block, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (block.leaps > 0) {
        return amy__err(err, AMY_EUNSUPPORTED,
                        "a zone file that counts leap seconds");
    }
    rc = read_changes(&block, zone, err);
    return rc < 0 || old ? rc : read_footer(rest, zone, err);
}

int
amy__zone_parse(struct amy__span file, struct amy__zone **ret_zone,
                struct amy_error *err)
{
    AMY_CLEANUP(amy__zone_free_p)
    struct amy__zone *zone = amy__calloc(1, sizeof(*zone));
    int rc = 0;

    if (zone == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a zone");
    }
    rc = fill(zone, file, err);
    if (rc < 0) {
        return rc;
    }
    *ret_zone = AMY_TAKE(zone);
    return 0;
}

void
amy__zone_free(struct amy__zone *zone)
{
    if (zone == NULL) {
        return;
    }
    amy__free(zone->changes);
    amy__free(zone);
}

/* --- files --- */

int
amy__zone_check_name(struct amy__span name, struct amy_error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-";
    char before = '/';

    if (name.n == 0 || name.n > 64) {
        return amy__err(err, AMY_EINVAL, "is no name of a time zone");
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (c == '/' ? before == '/' || i + 1 == name.n
                     : strchr(letters, c) == NULL || c == '\0') {
            return amy__err(err, AMY_EINVAL, "is no name of a time zone");
        }
        before = c;
    }
    return 0;
}

/* Into `file`, which is as large as one may be. */
static int
read_zone(const char *name, char *file, size_t *ret_n, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int dir_fd = amy__open_dir(DIRECTORY, err);
    AMY_CLEANUP(amy__close_p) int fd = -1;
    ssize_t got = 1;
    size_t n = 0;

    if (dir_fd < 0) {
        return amy__err(err, AMY_ENOTFOUND,
                        "no time zones in " DIRECTORY ": install tzdata");
    }
    /* Many names are links to another. */
    fd = amy__open_beneath(dir_fd, name, O_RDONLY | O_NONBLOCK, 0, err);
    if (fd == AMY_ENOTFOUND) {
        return amy__err(err, fd, "is not in " DIRECTORY);
    }
    while (fd >= 0 && got > 0 && n < AMY__ZONE_BYTES_MAX) {
        got = read(fd, file + n, AMY__ZONE_BYTES_MAX - n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0 && got < 0) {
        return amy__err_sys(err, errno, "reading it");
    }
    *ret_n = n;
    return fd < 0 ? fd : 0;
}

static int
load(const char *name, struct amy__zone **ret_zone, struct amy_error *err)
{
    char *file = NULL;
    size_t n = 0;
    int rc = 0;

    if (strcmp(name, "UTC") == 0) {
        *ret_zone = amy__calloc(1, sizeof(**ret_zone));
        return *ret_zone == NULL
                   ? amy__err(err, AMY_ENOMEM, "allocating a zone")
                   : 0;
    }
    file = amy__calloc(1, AMY__ZONE_BYTES_MAX);
    if (file == NULL) {
        return amy__err(err, AMY_ENOMEM, "reading a zone");
    }
    rc = read_zone(name, file, &n, err);
    if (rc == 0) {
        rc = amy__zone_parse((struct amy__span){file, n}, ret_zone, err);
    }
    amy__free(file);
    return rc;
}

int
amy__zone_load(const char *name, struct amy__zone **ret_zone,
               struct amy_error *err)
{
    int rc = amy__zone_check_name(amy__span_of(name), err);

    if (rc == 0) {
        rc = load(name, ret_zone, err);
    }
    if (rc < 0) {
        amy__err_prefix(err, "time zone '%.64s': ", name);
    }
    return rc;
}

/* --- questions --- */

/* How many changes are at or before an instant. */
static size_t
changes_until(const struct amy__zone *zone, int64_t utc_s)
{
    size_t low = 0;
    size_t high = zone->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (zone->changes[middle].at_s <= utc_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t
amy__zone_offset(const struct amy__zone *zone, int64_t utc_s)
{
    size_t n = 0;

    if (zone == NULL) {
        return 0;
    }
    n = changes_until(zone, utc_s);
    if (n == zone->count && zone->has_rule) {
        return amy__zone_rule_offset(&zone->rule, utc_s);
    }
    return n == 0 ? zone->first_offset_s : zone->changes[n - 1].offset_s;
}

/* The first change after an instant and within the window. */
static bool
next_change(const struct amy__zone *zone, int64_t after_s, int64_t until_s,
            int64_t *ret_at_s)
{
    size_t n = changes_until(zone, after_s);
    int64_t at_s = 0;

    if (n < zone->count) {
        at_s = zone->changes[n].at_s;
    } else if (!zone->has_rule ||
               !amy__zone_rule_next(&zone->rule, after_s, &at_s)) {
        return false;
    }
    *ret_at_s = at_s;
    return at_s < until_s;
}

bool
amy__zone_is_steady(const struct amy__zone *zone, int64_t from_s,
                    int64_t until_s)
{
    int64_t at_s = 0;

    return zone == NULL || !next_change(zone, from_s, until_s, &at_s);
}

unsigned
amy__zone_instants(const struct amy__zone *zone, int64_t local_s,
                   int64_t ret_utc_s[2])
{
    int64_t from_s = local_s - WINDOW_S;
    int64_t until_s = local_s + WINDOW_S;
    unsigned found = 0;
    bool last = false;

    ret_utc_s[0] = local_s;
    if (zone == NULL) {
        return 1;
    }
    /* Stretch by stretch: one offset holds from from_s until end_s. */
    while (!last && found < 2) {
        int64_t end_s = until_s;
        int64_t utc_s = local_s - amy__zone_offset(zone, from_s);

        last = !next_change(zone, from_s, until_s, &end_s);
        end_s = last ? until_s : end_s;
        if (utc_s >= from_s && utc_s < end_s) {
            ret_utc_s[found++] = utc_s;
        } else if (found == 0 && utc_s >= end_s && !last &&
                   local_s - amy__zone_offset(zone, end_s) < end_s) {
            ret_utc_s[0] = end_s; /* left out here; it does not come later */
            return 0;
        }
        from_s = end_s;
    }
    return found;
}
