/* Manifests: from and to JSON, and what can be told from two of them. */
/* Not for files: set.c reads and writes them. */
#include "backup/manifest.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/json.h"

#include <stdio.h>
#include <string.h>

#define FORMAT 1

static const char *const verdict_names[] = {"written",  "hashed",  "parsed",
                                            "restored", "suspect", "damaged"};
#define VERDICT_COUNT (sizeof(verdict_names) / sizeof(verdict_names[0]))

const char *
amy__verdict_name(enum amy__verdict verdict)
{
    return verdict_names[verdict];
}

bool
amy__verdict_is_verified(enum amy__verdict verdict)
{
    return verdict == AMY__VERDICT_PARSED || verdict == AMY__VERDICT_RESTORED;
}

void
amy__manifest_init(struct amy__manifest *manifest)
{
    *manifest = (struct amy__manifest){.slot_ms = AMY__MANIFEST_NO_TIME,
                                       .verified_ms = AMY__MANIFEST_NO_TIME};
}

void
amy__manifest_drop_tables(struct amy__manifest *manifest)
{
    for (size_t i = 0; i < manifest->table_count; i++) {
        amy__free(manifest->tables[i].name);
    }
    amy__free(manifest->tables);
    manifest->tables = NULL;
    manifest->table_count = 0;
}

void
amy__manifest_clear(struct amy__manifest *manifest)
{
    amy__manifest_drop_tables(manifest);
}

static bool
is_full(size_t count)
{
    return (count & (count - 1)) == 0; /* a power of two: time to double */
}

int
amy__manifest_add_table(struct amy__manifest *manifest, struct amy__span name,
                        uint64_t rows, struct amy_error *err)
{
    size_t n = manifest->table_count;
    char *copy = NULL;

    if (n >= AMY__MANIFEST_TABLES_MAX) {
        return amy__err(err, AMY_ELIMIT, "more than %d tables",
                        AMY__MANIFEST_TABLES_MAX);
    }
    if (is_full(n)) {
        struct amy__manifest_table *more = amy__realloc(
            manifest->tables, (n == 0 ? 1 : n * 2) * sizeof(*more));

        if (more == NULL) {
            return amy__err(err, AMY_ENOMEM, "counting tables");
        }
        manifest->tables = more;
    }
    copy = amy__strndup(name.p, name.n);
    if (copy == NULL) {
        return amy__err(err, AMY_ENOMEM, "counting tables");
    }
    manifest->tables[n] = (struct amy__manifest_table){copy, rows};
    manifest->table_count++;
    return 0;
}

uint64_t
amy__manifest_rows(const struct amy__manifest *manifest)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < manifest->table_count; i++) {
        rows += manifest->tables[i].rows;
    }
    return rows;
}

uint64_t
amy__manifest_bytes(const struct amy__manifest *manifest)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < manifest->file_count; i++) {
        bytes += manifest->files[i].bytes;
    }
    return bytes;
}

uint64_t
amy__manifest_raw_bytes(const struct amy__manifest *manifest)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < manifest->file_count; i++) {
        bytes += manifest->files[i].raw_bytes;
    }
    return bytes;
}

const struct amy__manifest_file *
amy__manifest_file(const struct amy__manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->file_count; i++) {
        if (strcmp(manifest->files[i].name, name) == 0) {
            return &manifest->files[i];
        }
    }
    return NULL;
}

/* --- the plain keys, as one table for both directions --- */

/* Sets outlive programs. A version that only adds keys keeps the format: older
 * programs pass over what they do not know, newer ones do without what is
 * marked as added. What changes the meaning of a key has a new format. */

enum kind {
    TEXT = 0, /* char[size] */
    TIME,     /* int64_t ms; null: none, where size is 1 */
    AMOUNT,   /* int64_t, not negative */
    FLAG,
};

struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t size;
    bool added; /* not in the first sets of this format */
};

#define AT(member) offsetof(struct amy__manifest, member)
#define SIZE(member) sizeof(((struct amy__manifest *)0)->member)
#define TEXT_KEY(member)                                                       \
    {                                                                          \
#member, TEXT, AT(member), SIZE(member), false                         \
    }
#define ADDED_TEXT(member)                                                     \
    {                                                                          \
#member, TEXT, AT(member), SIZE(member), true                          \
    }

static const struct key keys[] = {
    TEXT_KEY(name),
    TEXT_KEY(site),
    TEXT_KEY(why),
    TEXT_KEY(host),
    TEXT_KEY(database),
    TEXT_KEY(server),
    TEXT_KEY(dump),
    TEXT_KEY(amy),
    TEXT_KEY(lsn),
    ADDED_TEXT(encoding),
    ADDED_TEXT(collation),
    ADDED_TEXT(extensions),
    {"large_objects", AMOUNT, AT(large_objects), 0, true},
    {"server_number", AMOUNT, AT(server_number), 0, false},
    {"started", TIME, AT(started_ms), 0, false},
    {"duration_ms", AMOUNT, AT(duration_ms), 0, false},
    {"slot", TIME, AT(slot_ms), 1, false},
    TEXT_KEY(reason),
    {"verified", TIME, AT(verified_ms), 1, false},
    {"restore_ms", AMOUNT, AT(restore_ms), 0, false},
    {"pinned", FLAG, AT(pinned), 0, false},
    TEXT_KEY(warning),
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

/* --- writing; failed makers show in amy__json_write: see amy__json_set --- */

struct amy__json *
amy__manifest_time(int64_t ms)
{
    char text[25];

    return ms == AMY__MANIFEST_NO_TIME
               ? amy__json_null()
               : amy__json_text(amy__format_time(ms, text));
}

static struct amy__json *
key_json(const struct amy__manifest *manifest, const struct key *key)
{
    const char *at = (const char *)manifest + key->offset;
    int64_t number = 0;
    bool flag = false;

    switch (key->kind) {
    case TEXT:
        return amy__json_text(at);
    case TIME:
        memcpy(&number, at, sizeof(number));
        return amy__manifest_time(number);
    case AMOUNT:
        memcpy(&number, at, sizeof(number));
        return amy__json_int(number);
    case FLAG:
        memcpy(&flag, at, sizeof(flag));
        return amy__json_bool(flag);
    }
    return NULL;
}

static int
add_files(const struct amy__manifest *manifest, struct amy__json *array)
{
    int rc = 0;

    for (size_t i = 0; i < manifest->file_count && rc == 0; i++) {
        const struct amy__manifest_file *file = &manifest->files[i];
        struct amy__json *json = amy__json_object();

        rc = amy__json_set(json, "name", amy__json_text(file->name));
        rc |= amy__json_set(json, "bytes", amy__json_int((int64_t)file->bytes));
        rc |= amy__json_set(json, "raw_bytes",
                            amy__json_int((int64_t)file->raw_bytes));
        rc |= amy__json_set(json, "sha256", amy__json_text(file->sha256));
        rc |= amy__json_add(array, json);
    }
    return rc == 0 ? 0 : AMY_ENOMEM;
}

/* For people; and exactly, where JSON cannot say it. */
static int
add_name(struct amy__json *table, const char *name)
{
    size_t n = strlen(name);
    char *hex = NULL;
    int rc = amy__json_set(table, "name", amy__json_text(name));

    if (rc < 0 || strcmp(amy__json_get_text(table, "name", ""), name) == 0) {
        return rc;
    }
    hex = amy__calloc(2, n + 1);
    if (hex == NULL) {
        return AMY_ENOMEM;
    }
    amy__hex((const uint8_t *)name, n, hex);
    rc = amy__json_set(table, "name_bytes", amy__json_text(hex));
    amy__free(hex);
    return rc;
}

static int
add_tables(const struct amy__manifest *manifest, struct amy__json *array)
{
    int rc = 0;

    for (size_t i = 0; i < manifest->table_count && rc == 0; i++) {
        const struct amy__manifest_table *table = &manifest->tables[i];
        struct amy__json *json = amy__json_object();

        rc = add_name(json, table->name);
        rc |= amy__json_set(json, "rows", amy__json_int((int64_t)table->rows));
        rc |= amy__json_add(array, json);
    }
    return rc == 0 ? 0 : AMY_ENOMEM;
}

int
amy__manifest_write(const struct amy__manifest *manifest, struct amy__buf *out,
                    struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    struct amy__json *files = amy__json_array();
    struct amy__json *tables = amy__json_array();
    int rc = amy__json_set(json, "format", amy__json_int(FORMAT));

    for (size_t i = 0; i < KEY_COUNT && rc == 0; i++) {
        rc = amy__json_set(json, keys[i].name, key_json(manifest, &keys[i]));
    }
    if (rc == 0) {
        rc =
            amy__json_set(json, "verdict",
                          amy__json_text(amy__verdict_name(manifest->verdict)));
    }
    rc |= amy__json_set(json, "rows",
                        amy__json_int((int64_t)amy__manifest_rows(manifest)));
    rc |= add_files(manifest, files) | add_tables(manifest, tables);
    rc |= amy__json_set(json, "files", files);
    rc |= amy__json_set(json, "tables", tables);
    if (rc == 0) {
        rc = amy__json_write(json, 2, out);
        if (rc == AMY_ELIMIT) {
            return amy__err(err, rc, "the manifest is too long");
        }
    }
    return rc == 0 ? 0 : amy__err(err, AMY_ENOMEM, "writing a manifest");
}

/* --- reading --- */

static int
faulty(struct amy_error *err, const char *key)
{
    return amy__err(err, AMY_EPARSE, "manifest: '%s' is missing or faulty",
                    key);
}

static bool
read_text(const struct amy__json *json, char *ret, size_t size)
{
    const char *text = amy__json_as_text(json, NULL);

    return text != NULL && amy__span_copy(amy__span_of(text), ret, size);
}

static bool
read_count(const struct amy__json *object, const char *key, uint64_t *ret)
{
    const struct amy__json *json = amy__json_get(object, key);
    int64_t value = amy__json_as_int(json, -1);

    if (!amy__json_is_int(json) || value < 0) {
        return false;
    }
    *ret = (uint64_t)value;
    return true;
}

static bool
read_time(const struct amy__json *json, bool may_miss, int64_t *ret)
{
    const char *text = amy__json_as_text(json, NULL);

    if (text == NULL && may_miss && json != NULL && !amy__json_is_int(json)) {
        *ret = AMY__MANIFEST_NO_TIME;
        return true;
    }
    return text != NULL && amy__civil_parse(amy__span_of(text), ret);
}

static bool
read_key(const struct amy__json *root, const struct key *key,
         struct amy__manifest *ret)
{
    const struct amy__json *json = amy__json_get(root, key->name);
    char *at = (char *)ret + key->offset;
    int64_t number = 0;
    uint64_t amount = 0;
    bool flag = false;
    bool good = false;

    if (json == NULL && key->added) {
        return true;
    }
    switch (key->kind) {
    case TEXT:
        return read_text(json, at, key->size);
    case TIME:
        good = read_time(json, key->size == 1, &number);
        memcpy(at, &number, sizeof(number));
        return good;
    case AMOUNT:
        good = read_count(root, key->name, &amount);
        number = (int64_t)amount;
        memcpy(at, &number, sizeof(number));
        return good;
    case FLAG:
        flag = amy__json_get_bool(root, key->name, false);
        memcpy(at, &flag, sizeof(flag));
        return flag == amy__json_get_bool(root, key->name, true);
    }
    return false;
}

/* A plain name: nothing that would lead out of the set's directory. */
static bool
is_file_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static bool
is_hash(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static bool
read_file(const struct amy__json *json, struct amy__manifest *ret)
{
    struct amy__manifest_file *file = &ret->files[ret->file_count];

    if (!read_text(amy__json_get(json, "name"), file->name,
                   sizeof(file->name)) ||
        !read_text(amy__json_get(json, "sha256"), file->sha256,
                   sizeof(file->sha256)) ||
        !read_count(json, "bytes", &file->bytes) ||
        !read_count(json, "raw_bytes", &file->raw_bytes) ||
        !is_file_name(file->name) || !is_hash(file->sha256) ||
        amy__manifest_file(ret, file->name) != NULL) {
        return false;
    }
    ret->file_count++;
    return true;
}

static int
read_files(const struct amy__json *root, struct amy__manifest *ret,
           struct amy_error *err)
{
    const struct amy__json *files = amy__json_get(root, "files");
    size_t n = amy__json_count(files);

    if (!amy__json_is_array(files) || n == 0 || n > AMY__MANIFEST_FILES_MAX) {
        return faulty(err, "files");
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_file(amy__json_at(files, i), ret)) {
            return faulty(err, "files");
        }
    }
    return 0;
}

/* In place: the bytes that pairs of digits stand for. */
static bool
unhex(char *text, size_t *ret_n)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i += 2) {
        const char *high = strchr(digits, text[i]);
        const char *low = strchr(digits, text[i + 1]);

        if (n % 2 != 0 || high == NULL || low == NULL ||
            (high == digits && low == digits)) {
            return false;
        }
        text[i / 2] = (char)((high - digits) * 16 + (low - digits));
    }
    *ret_n = n / 2;
    return n > 0;
}

static int
read_table(const struct amy__json *json, struct amy__manifest *ret,
           struct amy_error *err)
{
    const char *name = amy__json_get_text(json, "name", NULL);
    const char *hex = amy__json_get_text(json, "name_bytes", NULL);
    char *bytes = NULL;
    uint64_t rows = 0;
    size_t n = 0;
    int rc = 0;

    if (name == NULL || !read_count(json, "rows", &rows)) {
        return faulty(err, "tables");
    }
    if (hex == NULL) {
        return amy__manifest_add_table(ret, amy__span_of(name), rows, err);
    }
    bytes = amy__strdup(hex);
    if (bytes == NULL) {
        return amy__err(err, AMY_ENOMEM, "reading a manifest");
    }
    rc = unhex(bytes, &n) ? amy__manifest_add_table(
                                ret, (struct amy__span){bytes, n}, rows, err)
                          : faulty(err, "tables");
    amy__free(bytes);
    return rc;
}

static int
read_tables(const struct amy__json *root, struct amy__manifest *ret,
            struct amy_error *err)
{
    const struct amy__json *tables = amy__json_get(root, "tables");
    uint64_t said = 0;
    int rc = 0;

    if (!amy__json_is_array(tables)) {
        return faulty(err, "tables");
    }
    for (size_t i = 0; i < amy__json_count(tables) && rc == 0; i++) {
        rc = read_table(amy__json_at(tables, i), ret, err);
    }
    if (rc == 0 &&
        (!read_count(root, "rows", &said) || said != amy__manifest_rows(ret))) {
        return faulty(err, "rows");
    }
    return rc;
}

static bool
read_verdict(const struct amy__json *root, struct amy__manifest *ret)
{
    const char *name = amy__json_get_text(root, "verdict", "");

    for (size_t i = 0; i < VERDICT_COUNT; i++) {
        if (strcmp(name, verdict_names[i]) == 0) {
            ret->verdict = (enum amy__verdict)i;
            return true;
        }
    }
    return false;
}

int
amy__manifest_read(struct amy__span text, const char *name,
                   struct amy__manifest *ret, struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *root = NULL;
    int rc = 0;

    amy__manifest_init(ret);
    rc = amy__json_parse(text, &root, err);
    if (rc < 0) {
        amy__err_prefix(err, "manifest: ");
        return rc;
    }
    if (amy__json_get_int(root, "format", 0) != FORMAT) {
        return amy__err(err, AMY_EPARSE, "manifest: not of format %d", FORMAT);
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (!read_key(root, &keys[i], ret)) {
            return faulty(err, keys[i].name);
        }
    }
    if (strcmp(ret->name, name) != 0) {
        return amy__err(err, AMY_EPARSE, "manifest: it is that of '%s'",
                        ret->name);
    }
    if (!read_verdict(root, ret)) {
        return faulty(err, "verdict");
    }
    rc = read_files(root, ret, err);
    if (rc == 0) {
        rc = read_tables(root, ret, err);
    }
    return rc;
}

/* --- suspicion --- */

bool
amy__manifest_is_suspect(const struct amy__manifest *manifest,
                         const struct amy__manifest *good, char *buf,
                         size_t size)
{
    uint64_t rows = amy__manifest_rows(manifest);
    uint64_t bytes = amy__manifest_bytes(manifest);

    if (manifest->table_count == 0) {
        (void)snprintf(buf, size, "there are no tables in it");
        return true;
    }
    if (rows == 0) {
        (void)snprintf(buf, size, "there are no rows in its %zu tables",
                       manifest->table_count);
        return true;
    }
    if (good == NULL) {
        return false;
    }
    if (rows < amy__manifest_rows(good) / 2) {
        (void)snprintf(buf, size, "%llu rows; %s had %llu",
                       (unsigned long long)rows, good->name,
                       (unsigned long long)amy__manifest_rows(good));
        return true;
    }
    if (bytes < amy__manifest_bytes(good) / 2) {
        (void)snprintf(buf, size, "%llu bytes; %s had %llu",
                       (unsigned long long)bytes, good->name,
                       (unsigned long long)amy__manifest_bytes(good));
        return true;
    }
    return false;
}
