/* The keys of backup.copies, and the shapes of their texts. */
/* Not for what holds between them: rules_copies.c. */
#include "core/error.h"
#include "site/spec.h"

#include <stddef.h>
#include <string.h>

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
#define PREFIX_MAX 200 /* of a key's 1024, a set and its file behind it */

#define ROW(name, kind_, member)                                               \
    .key = (name), .kind = AMY__FIELD_##kind_,                                 \
    .offset = offsetof(struct amy__site_copy, member)
#define END                                                                    \
    {                                                                          \
        .key = NULL                                                            \
    }

static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

static bool
has_only(struct amy__span text, const char *letters)
{
    for (size_t i = 0; i < text.n; i++) {
        if (strchr(letters, text.p[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static int
check_name(struct amy__span text, struct amy_error *err)
{
    if (text.n == 0 || text.n > 31 || !has_only(text, lower)) {
        return amy__err(err, AMY_EINVAL, "is no such name");
    }
    return 0;
}

static int
check_path(struct amy__span text, struct amy_error *err)
{
    if (!amy__span_starts(text, AMY_SPAN("/"))) {
        return amy__err(err, AMY_EINVAL, "does not begin with '/'");
    }
    return text.n < 256 ? 0 : amy__err(err, AMY_EINVAL, "is too long");
}

/* Amazon's rules for names of buckets, and keys that need no escaping. */
static int
check_bucket(struct amy__span text, struct amy_error *err)
{
    struct amy__span rest = text;
    struct amy__span part = {NULL, 0};
    bool first = true;

    while (amy__span_split(&rest, '/', &part)) {
        if (first && (part.n < 3 || part.n > 63 ||
                      !has_only(part, "abcdefghijklmnopqrstuvwxyz"
                                      "0123456789-.") ||
                      part.p[0] == '-' || part.p[0] == '.')) {
            return amy__err(err, AMY_EINVAL, "is no name of a bucket");
        }
        if (part.n == 0 || part.p[0] == '.' ||
            !has_only(part, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")) {
            return amy__err(err, AMY_EINVAL,
                            "has a part that is empty, begins with a dot or "
                            "would have to be escaped");
        }
        if (first && rest.n > PREFIX_MAX) {
            return amy__err(err, AMY_EINVAL, "has too long a prefix");
        }
        first = false;
    }
    return 0;
}

static int
check_endpoint(struct amy__span text, struct amy_error *err)
{
    struct amy__span host = text;

    if (!amy__span_starts(text, AMY_SPAN("https://"))) {
        return amy__err(err, AMY_EINVAL, "is no address by https");
    }
    host.p += 8;
    host.n -= 8;
    if (host.n == 0 || text.n > 255 ||
        !has_only(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789-.:[]")) {
        return amy__err(err, AMY_EINVAL, "is more, or less, than a host");
    }
    return 0;
}

static int
check_region(struct amy__span text, struct amy_error *err)
{
    return text.n > 0 && text.n < 48 && has_only(text, lower)
               ? 0
               : amy__err(err, AMY_EINVAL, "is no region");
}

static int
check_profile(struct amy__span text, struct amy_error *err)
{
    return text.n > 0 && text.n < 64 && memchr(text.p, ']', text.n) == NULL
               ? 0
               : amy__err(err, AMY_EINVAL, "is no such name");
}

static const struct amy__word styles[] = {
    {"host", AMY__S3_STYLE_HOST}, {"path", AMY__S3_STYLE_PATH}, {NULL, 0}};

static const struct amy__word sources[] = {{"environment", AMY__S3_ENVIRONMENT},
                                           {"file", AMY__S3_FILE},
                                           {"imds", AMY__S3_IMDS},
                                           {NULL, 0}};

static const struct amy__field thin_fields[] = {
    {ROW("hourly", COUNT, hourly), .min = 1, .max = 100000},
    {ROW("daily", COUNT, daily), .min = 1, .max = 100000},
    {ROW("weekly", COUNT, weekly), .min = 1, .max = 100000},
    {ROW("monthly", COUNT, monthly), .min = 1, .max = 100000},
    END};

const struct amy__field amy__site_copy_fields[] = {
    {ROW("name", TEXT, name), .flags = AMY__FIELD_REQUIRED,
     .allowed = "up to 31 of a-z, 0-9 and '-'", .check = check_name},
    {ROW("directory", TEXT, directory),
     .allowed = "a directory of another disk, from '/' on",
     .check = check_path},
    {ROW("s3", TEXT, s3), .allowed = "bucket, or bucket/prefix",
     .check = check_bucket},
    {ROW("region", TEXT, region), .standard = "us-east-1",
     .allowed = "a region such as eu-central-1", .check = check_region},
    {ROW("endpoint", TEXT, endpoint),
     .allowed = "https://host of a server that is not Amazon's",
     .check = check_endpoint},
    {ROW("style", WORD, style), .words = styles},
    {ROW("credentials", WORD, credentials), .standard = "environment",
     .words = sources},
    {ROW("profile", TEXT, profile), .standard = "default",
     .allowed = "a name in the file of credentials", .check = check_profile},
    {ROW("ca_file", TEXT, ca_file), .allowed = "the path of a PEM file",
     .check = check_path},
    {ROW("keep", COUNT, keep), .standard = "48", .test_standard = "8", .min = 1,
     .max = 100000},
    {ROW("keep_for", DURATION, keep_for_ms), .min = HOUR, .max = 3660 * DAY},
    {.key = "thin", .kind = AMY__FIELD_MAP, .fields = thin_fields},
    {ROW("late", DURATION, late_ms), .min = HOUR / 60, .max = 366 * DAY},
    END};

#define PLACE(name, kind_, member)                                             \
    .key = (name), .kind = AMY__FIELD_##kind_,                                 \
    .offset = offsetof(struct amy__site, refresh_copy) +                       \
              offsetof(struct amy__site_copy, member)

const struct amy__field amy__site_place_fields[] = {
    {PLACE("directory", TEXT, directory),
     .allowed = "a directory of another disk, from '/' on",
     .check = check_path},
    {PLACE("s3", TEXT, s3), .allowed = "bucket, or bucket/prefix",
     .check = check_bucket},
    {PLACE("region", TEXT, region), .standard = "us-east-1",
     .allowed = "a region such as eu-central-1", .check = check_region},
    {PLACE("endpoint", TEXT, endpoint),
     .allowed = "https://host of a server that is not Amazon's",
     .check = check_endpoint},
    {PLACE("style", WORD, style), .words = styles},
    {PLACE("credentials", WORD, credentials), .standard = "environment",
     .words = sources},
    {PLACE("profile", TEXT, profile), .standard = "default",
     .allowed = "a name in the file of credentials", .check = check_profile},
    {PLACE("ca_file", TEXT, ca_file), .allowed = "the path of a PEM file",
     .check = check_path},
    END};
