/* The journal of a deployment as JSON. */
/* Not for what follows from it: that is plan.c. */
#include "deploy/journal.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/json.h"
#include "site/fields.h"

#include <stdio.h>
#include <string.h>

#define VERSION 1

static const char *const kinds[] = {"deploy", "rollback"};

/* Where each text goes, and what may be in it. */
struct text {
    const char *key;
    size_t offset;
    size_t size;
    bool (*fits)(const char *text);
    bool required;
};

struct flag {
    const char *key;
    size_t offset;
};

static bool
has_only(const char *text, const char *letters)
{
    return text[strspn(text, letters)] == '\0';
}

static bool
is_id(const char *text)
{
    return strlen(text) == AMY__DEPLOY_ID_SIZE - 1 &&
           has_only(text, "0123456789abcdef");
}

static bool
is_hex(const char *text)
{
    return has_only(text, "0123456789abcdef");
}

static bool
is_printable(const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Of people, in any language. */
static bool
is_text(const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == '\x7f') {
            return false;
        }
    }
    return true;
}

bool
amy__deploy_is_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && name[0] != '-' &&
           strlen(name) < AMY__DEPLOY_NAME_SIZE &&
           has_only(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "0123456789._-");
}

bool
amy__deploy_is_link(const char *link)
{
    return link[0] != '\0' && strlen(link) < AMY__DEPLOY_LINK_SIZE &&
           is_printable(link);
}

bool
amy__deploy_is_migration(const char *name)
{
    return name[0] != '\0' && strlen(name) < 300 && is_printable(name) &&
           strchr(name, ' ') == NULL;
}

#define TEXT(member, fits_, required_)                                         \
    {                                                                          \
#member, offsetof(struct amy__deploy_journal, member),                 \
            sizeof(((struct amy__deploy_journal *)0)->member), (fits_),        \
            (required_)                                                        \
    }
static const struct text texts[] = {
    TEXT(id, is_id, true),
    TEXT(step, is_text, false),
    TEXT(release, amy__deploy_is_name, false),
    TEXT(ref, is_text, false),
    TEXT(commit, is_hex, false),
    TEXT(target, amy__deploy_is_link, false),
    TEXT(previous, amy__deploy_is_link, false),
    TEXT(backup, amy__deploy_is_name, false),
    TEXT(before, is_hex, false),
};
#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))

#define FLAG(member)                                                           \
    {                                                                          \
#member, offsetof(struct amy__deploy_journal, member)                  \
    }
static const struct flag flags[] = {
    FLAG(made),      FLAG(closed),   FLAG(suspended),
    FLAG(migrating), FLAG(switched), FLAG(reloading),
    FLAG(served),    FLAG(in_place), FLAG(installed),
};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

void
amy__deploy_journal_clear(struct amy__deploy_journal *journal)
{
    amy__texts_free(journal->migrations);
    *journal = (struct amy__deploy_journal){.pid = 0};
}

/* ---- lists of texts ---- */

struct amy__json *
amy__deploy_texts_json(char *const *list)
{
    struct amy__json *json = amy__json_array();

    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        (void)amy__json_add(json, amy__json_text(list[i]));
    }
    return json;
}

bool
amy__deploy_texts(const struct amy__json *list, size_t max,
                  bool (*fits)(const char *), char ***ret)
{
    size_t count = amy__json_count(list);
    char **all = NULL;

    if (list != NULL && (!amy__json_is_array(list) || count > max)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = amy__json_as_text(amy__json_at(list, i), "");

        if (!fits(text) || !amy__texts_add(&all, text)) {
            amy__texts_free(all);
            return false;
        }
    }
    *ret = all;
    return true;
}

/* ---- out ---- */

int
amy__deploy_journal_write(const struct amy__deploy_journal *journal,
                          struct amy__buf *out)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    const char *base = (const char *)journal;

    (void)amy__json_set(json, "version", amy__json_int(VERSION));
    (void)amy__json_set(json, "kind", amy__json_text(kinds[journal->kind]));
    (void)amy__json_set(json, "pid", amy__json_int(journal->pid));
    (void)amy__json_set(json, "began_ms",
                        amy__json_int(journal->began_wall_ms));
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *text = base + texts[i].offset;

        if (text[0] != '\0') {
            (void)amy__json_set(json, texts[i].key, amy__json_text(text));
        }
    }
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        bool set = *(const bool *)(const void *)(base + flags[i].offset);

        (void)amy__json_set(json, flags[i].key, amy__json_bool(set));
    }
    (void)amy__json_set(json, "migrations",
                        amy__deploy_texts_json(journal->migrations));
    return amy__json_write(json, 2, out);
}

/* ---- in ---- */

static int
read_texts(const struct amy__json *json, struct amy__deploy_journal *journal,
           struct amy_error *err)
{
    char *base = (char *)journal;

    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *text = amy__json_get_text(json, texts[i].key, "");
        size_t n = strlen(text);

        if (n == 0 && !texts[i].required) {
            continue;
        }
        if (n == 0 || n >= texts[i].size || !texts[i].fits(text)) {
            return amy__err(err, AMY_EPARSE, "the journal has no good '%s'",
                            texts[i].key);
        }
        memcpy(base + texts[i].offset, text, n + 1);
    }
    return 0;
}

static int
read_kind(const struct amy__json *json, struct amy__deploy_journal *journal,
          struct amy_error *err)
{
    const char *kind = amy__json_get_text(json, "kind", "");

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            journal->kind = (enum amy__deploy_kind)i;
            return 0;
        }
    }
    return amy__err(err, AMY_EPARSE, "the journal is of no known kind");
}

/* What it says of the release must be there where it is to be undone. */
static int
judge(const struct amy__deploy_journal *journal, struct amy_error *err)
{
    if ((journal->made && journal->release[0] == '\0') ||
        ((journal->switched || journal->served) &&
         journal->target[0] == '\0') ||
        (journal->in_place && journal->switched &&
         journal->before[0] == '\0')) {
        return amy__err(err, AMY_EPARSE, "the journal names no release");
    }
    return 0;
}

static int
read_all(const struct amy__json *json, struct amy__deploy_journal *journal,
         struct amy_error *err)
{
    char *base = (char *)journal;
    int rc = 0;

    if (amy__json_get_int(json, "version", 0) != VERSION) {
        return amy__err(err, AMY_EPARSE, "the journal is of another version");
    }
    rc = read_kind(json, journal, err);
    rc = rc < 0 ? rc : read_texts(json, journal, err);
    if (rc < 0) {
        return rc;
    }
    journal->pid = amy__json_get_int(json, "pid", 0);
    journal->began_wall_ms = amy__json_get_int(json, "began_ms", 0);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        bool *flag = (bool *)(void *)(base + flags[i].offset);

        *flag = amy__json_get_bool(json, flags[i].key, false);
    }
    if (!amy__deploy_texts(amy__json_get(json, "migrations"),
                           AMY__DEPLOY_MIGRATIONS_MAX, amy__deploy_is_migration,
                           &journal->migrations)) {
        return amy__err(err, AMY_EPARSE, "the journal has no good migrations");
    }
    return judge(journal, err);
}

int
amy__deploy_journal_read(struct amy__span text,
                         struct amy__deploy_journal *ret_journal,
                         struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = NULL;
    struct amy__deploy_journal journal = {.pid = 0};
    int rc = 0;

    if (text.n > AMY__DEPLOY_JOURNAL_MAX) {
        return amy__err(err, AMY_EPARSE, "the journal is too long");
    }
    rc = amy__json_parse(text, &json, err);
    rc = rc < 0 ? rc : read_all(json, &journal, err);
    if (rc < 0) {
        amy__deploy_journal_clear(&journal);
        return rc;
    }
    *ret_journal = journal;
    return 0;
}
