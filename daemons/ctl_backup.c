/* Jobs of amy-backup, asked for and followed to their end. */
/* Not for what they do: the daemon's jobs know. */
#include "ctl_backup.h"

#include <amy/clock.h>

#include "ctl_ask.h"
#include "ctl_check.h"
#include "ctl_job.h"
#include "ctl_json.h"
#include "ctl_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As given. */
struct backup_options {
    const char *run;
    bool json;
    bool dry_run;
    bool drill;       /* verify: restore it, too */
    const char *to;   /* restore: another database than the site's; or NULL */
    const char *copy; /* copy, verify, fetch, restore: which; or NULL */
    const char *purpose; /* now: "deploy", or NULL */
    const char *verdict; /* now: at least this one; NULL: "parsed" for a
                            deployment, else whichever it gets */
};
static struct backup_options given;

const struct ctl_option ctl_backup_options[] = {
    {"dry-run", 0, NULL, &given.dry_run}, {"drill", 0, NULL, &given.drill},
    {"to", 0, &given.to, NULL},           {"copy", 0, &given.copy, NULL},
    {"from", 0, &given.copy, NULL},       {"for", 0, &given.purpose, NULL},
    {"verdict", 0, &given.verdict, NULL}, {NULL, 0, NULL, NULL}};

struct wish {
    const char *word;
    const char *action;
    bool needs_set;
    bool takes_set;
    void (*show)(const json_t *result);
};

/* --- showing --- */

static enum text_style
style_of(const char *verdict)
{
    if (strcmp(verdict, "parsed") == 0 || strcmp(verdict, "restored") == 0) {
        return TEXT_GOOD;
    }
    return strcmp(verdict, "damaged") == 0 ? TEXT_BAD : TEXT_WARN;
}

/* What a copy has of that name, or NULL. */
static const json_t *
find_set(const json_t *copy, const char *name)
{
    const json_t *set = NULL;
    size_t i = 0;

    json_array_foreach(json_object_get(copy, "sets"), i, set)
    {
        if (strcmp(text_at(set, "name"), name) == 0) {
            return set;
        }
    }
    return NULL;
}

/* "here, nas, s3": where a set lies; a copy that was not read back has a '?'.
 */
static void
where_cell(struct table *table, const char *name, bool here,
           const json_t *copies)
{
    const json_t *copy = NULL;
    char where[256] = "";
    size_t i = 0;

    (void)snprintf(where, sizeof(where), "%s", here ? "here" : "");
    json_array_foreach(copies, i, copy)
    {
        const json_t *set = find_set(copy, name);
        size_t n = strlen(where);

        if (set != NULL) {
            (void)snprintf(
                where + n, sizeof(where) - n, "%s%s%s", n == 0 ? "" : ", ",
                text_at(copy, "name"),
                json_is_string(json_object_get(set, "proven")) ? "" : "?");
        }
    }
    table_cell(table, TEXT_PLAIN, "%s", where);
}

static void
set_row(struct table *table, const json_t *set, const json_t *copies)
{
    char text[32] = "";
    const char *verdict = text_at(set, "verdict");
    int64_t restore_ms = int_at(set, "restore_ms");

    table_row(table);
    table_cell(table, TEXT_BOLD, "%s", text_at(set, "name"));
    table_cell(table, style_of(verdict), "%s", verdict);
    table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(set, "rows"));
    table_cell(table, TEXT_PLAIN, "%s",
               text_bytes(int_at(set, "bytes"), text, sizeof(text)));
    table_cell(table, TEXT_PLAIN, "%s",
               text_duration(int_at(set, "duration_ms"), text, sizeof(text)));
    table_cell(table, TEXT_PLAIN, "%s",
               restore_ms == 0 ? "-"
                               : text_duration(restore_ms, text, sizeof(text)));
    table_cell(table, TEXT_PLAIN, "%s", text_at(set, "why"));
    if (json_array_size(copies) > 0) {
        where_cell(table, text_at(set, "name"), true, copies);
    }
    table_cell(table, TEXT_PLAIN, "%s%s%s%s%s",
               json_is_true(json_object_get(set, "pinned")) ? "pinned " : "",
               json_is_true(json_object_get(set, "ahead"))
                   ? "dated in the future "
                   : "",
               text_at(set, "reason"),
               text_at(set, "warning")[0] == '\0' ? "" : " warning: ",
               text_at(set, "warning"));
}

/* Is it among these, or at one of the copies before this one? */
static bool
is_shown(const json_t *sets, const json_t *copies, size_t copy,
         const char *name)
{
    const json_t *set = NULL;
    size_t i = 0;

    json_array_foreach(sets, i, set)
    {
        if (strcmp(text_at(set, "name"), name) == 0) {
            return true;
        }
    }
    for (i = 0; i < copy; i++) {
        if (find_set(json_array_get(copies, i), name) != NULL) {
            return true;
        }
    }
    return false;
}

/* What lies at copies alone. */
static void
copy_rows(struct table *table, const json_t *sets, const json_t *copies)
{
    for (size_t i = 0; i < json_array_size(copies); i++) {
        const json_t *copy = json_array_get(copies, i);
        const json_t *set = NULL;
        size_t k = 0;

        json_array_foreach(json_object_get(copy, "sets"), k, set)
        {
            char text[32] = "";
            const char *name = text_at(set, "name");

            if (is_shown(sets, copies, i, name)) {
                continue;
            }
            table_row(table);
            table_cell(table, TEXT_BOLD, "%s", name);
            table_cell(table, TEXT_PLAIN, "-");
            table_cell(table, TEXT_PLAIN, "-");
            table_cell(table, TEXT_PLAIN, "%s",
                       text_bytes(int_at(set, "bytes"), text, sizeof(text)));
            table_cell(table, TEXT_PLAIN, "-");
            table_cell(table, TEXT_PLAIN, "-");
            table_cell(table, TEXT_PLAIN, "-");
            where_cell(table, name, false, copies);
            table_cell(table, TEXT_PLAIN, "%s", "");
        }
    }
}

/* copies: NULL, or empty: there is nothing to say about where. */
static void
show_table(const json_t *sets, const json_t *copies)
{
    static const char *const heads[] = {"backup", "verdict", "rows",
                                        "size",   "made in", "restored in",
                                        "why",    "where",   ""};
    bool with_where = json_array_size(copies) > 0;
    struct table *table = table_create(with_where ? "llrrrrlll" : "llrrrrll");
    const json_t *set = NULL;
    size_t i = 0;

    table_row(table);
    for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        if (with_where || strcmp(heads[i], "where") != 0) {
            table_cell(table, TEXT_FAINT, "%s", heads[i]);
        }
    }
    json_array_foreach(sets, i, set)
    {
        set_row(table, set, copies);
    }
    copy_rows(table, sets, copies);
    table_finish(table, "");
}

static void
show_copies(const json_t *result)
{
    static const struct {
        const char *key;
        const char *word;
    } each[] = {{"copied", "copied"}, {"removed", "removed"}};
    bool none = true;

    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        const json_t *name = NULL;
        size_t k = 0;

        json_array_foreach(json_object_get(result, each[i].key), k, name)
        {
            text_print(TEXT_PLAIN, "%s %s\n", json_string_value(name),
                       each[i].word);
            none = false;
        }
    }
    if (none) {
        text_print(TEXT_FAINT, "it is up to date\n");
    }
}

static void
show_list(const json_t *result)
{
    const json_t *sets = json_object_get(result, "sets");
    const json_t *copies = json_object_get(result, "copies");
    int64_t foreign = int_at(result, "foreign");

    if (json_array_size(sets) == 0 && json_array_size(copies) == 0) {
        text_print(TEXT_PLAIN, "there are no backups\n");
    } else {
        show_table(sets, copies);
    }
    if (foreign > 0) {
        text_print(TEXT_FAINT,
                   "%" PRId64 " other entries in DB_backups are not ours\n",
                   foreign);
    }
}

static void
show_set(const json_t *result)
{
    const json_t *set = json_object_get(result, "set");
    json_t *one = NULL;

    if (set != NULL) {
        one = json_pack("[O]", set);
        show_table(one, NULL);
        json_decref(one);
    }
}

static void
show_manifest(const json_t *result)
{
    char *text =
        json_dumps(json_object_get(result, "manifest"), JSON_INDENT(2));

    text_print(TEXT_PLAIN, "%s\n", text == NULL ? "" : text);
    free(text);
}

static void
show_removed(const json_t *result)
{
    const json_t *removed = json_object_get(result, "removed");
    const json_t *name = NULL;
    size_t i = 0;

    json_array_foreach(removed, i, name)
    {
        text_print(TEXT_PLAIN, "%s\n", json_string_value(name));
    }
    if (json_array_size(removed) == 0) {
        text_print(TEXT_FAINT, "nothing to remove\n");
    }
}

static int
show_end(const struct backup_options *options, const struct wish *wish,
         const char *site, const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    bool failed = strcmp(text_at(job, "state"), "done") != 0;

    if (options->json) {
        job_print(job);
    } else if (failed) {
        show_set(result);
        return job_complain(site, text_at(job, "message"));
    } else {
        wish->show(result);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* --- all of it --- */

/* Asked for and followed to its end; *ret_job, if not NULL, is the caller's. */
static int
do_action(const struct backup_options *options, const struct wish *wish,
          const char *action, const char *site, const char *set,
          json_t **ret_job)
{
    json_t *body = json_pack(
        "{s:s, s:s, s:s, s:{s:s}, s:s, s:b}", "action", action, "set",
        set == NULL ? "" : set, "to", options->to == NULL ? "" : options->to,
        "copy", "name", options->copy == NULL ? "" : options->copy, "why",
        options->purpose == NULL ? "manual" : options->purpose, "dry_run",
        options->dry_run ? 1 : 0);
    const struct job_options how = {.run = options->run,
                                    .json = options->json,
                                    .wait_turn = options->purpose != NULL};
    char *text = json_dumps(body, JSON_COMPACT);
    json_t *job = job_begin(&how, site, "jobs", text);
    int code = EXIT_FAILURE;

    free(text);
    json_decref(body);
    if (job != NULL && strcmp(text_at(job, "state"), "skipped") == 0) {
        if (options->json) {
            job_print(job);
        } else {
            text_print(TEXT_PLAIN, "%s: %s\n", site, text_at(job, "message"));
        }
        *ret_job = job;
        return EXIT_SUCCESS;
    }
    job = job == NULL ? NULL : job_follow(&how, site, job);
    if (job != NULL) {
        code = show_end(options, wish, site, job);
    }
    *ret_job = job;
    return code;
}

/* A backup that is worth less than what was asked for is none. */
static int
insist(const struct backup_options *options, const struct wish *wish,
       const char *site, json_t **job)
{
    const char *wanted = options->verdict == NULL ? "parsed" : options->verdict;
    const json_t *set = json_object_get(json_object_get(*job, "result"), "set");
    const char *verdict = text_at(set, "verdict");
    char why[512];

    if (strcmp(wanted, "restored") == 0 && strcmp(verdict, "parsed") == 0) {
        char name[64];
        json_t *drill = NULL;
        int code = EXIT_FAILURE;

        (void)snprintf(name, sizeof(name), "%s", text_at(set, "name"));
        code = do_action(options, wish, "drill", site, name, &drill);
        json_decref(*job);
        *job = drill;
        if (code != EXIT_SUCCESS) {
            return code;
        }
        set = json_object_get(json_object_get(drill, "result"), "set");
        verdict = text_at(set, "verdict");
    }
    if (strcmp(verdict, "restored") == 0 || strcmp(verdict, wanted) == 0) {
        return EXIT_SUCCESS;
    }
    (void)snprintf(why, sizeof(why), "the backup is %s, not %s%s%s", verdict,
                   wanted, text_at(set, "reason")[0] == '\0' ? "" : ": ",
                   text_at(set, "reason"));
    return job_complain(site, why);
}

/* The action that stands for a wish. */
static const char *
action_of(const struct backup_options *options, const struct wish *wish)
{
    bool verify = strcmp(wish->word, "verify") == 0;

    return options->drill                    ? "drill"
           : verify && options->copy != NULL ? "verify-copy"
                                             : wish->action;
}

/* Fetched first, if it is to come from a copy. ret_name: which one it is. */
static int
fetch_first(const struct backup_options *options, const struct wish *wish,
            const char *site, const char *set, char *ret_name, size_t size)
{
    json_t *job = NULL;
    int code = do_action(options, wish, "fetch", site, set, &job);

    (void)snprintf(
        ret_name, size, "%s",
        text_at(json_object_get(json_object_get(job, "result"), "set"),
                "name"));
    json_decref(job);
    return code;
}

static int
grant(const struct backup_options *options, const struct wish *wish,
      const char *site, const char *set)
{
    char name[64] = "";
    json_t *job = NULL;
    int code = EXIT_SUCCESS;

    if (strcmp(wish->word, "restore") == 0 && options->copy != NULL) {
        code = fetch_first(options, wish, site, set, name, sizeof(name));
        if (code != EXIT_SUCCESS) {
            return code;
        }
        set = name;
    }
    code = do_action(options, wish, action_of(options, wish), site, set, &job);

    if (code == EXIT_SUCCESS && strcmp(text_at(job, "state"), "done") == 0 &&
        (options->purpose != NULL || options->verdict != NULL)) {
        code = insist(options, wish, site, &job);
    }
    json_decref(job);
    return code;
}

static const struct wish wishes[] = {
    {"check", NULL, false, false, NULL}, /* no job, only a look */
    {"now", "dump", false, false, show_set},
    {"list", "list", false, false, show_list},
    {"show", "show", false, true, show_manifest},
    {"verify", "verify", false, true, show_set},
    {"restore", "restore", false, true, show_set},
    {"pin", "pin", true, true, show_set},
    {"unpin", "unpin", true, true, show_set},
    {"accept", "accept", true, true, show_set},
    {"prune", "prune", false, false, show_removed},
    {"copy", "copy", false, false, show_copies},
    {"fetch", "fetch", false, true, show_set},
};

/* A copy is named where it must be, and where it may be. */
static bool
fits_copy(const struct backup_options *options, const struct wish *wish)
{
    if (options->copy == NULL) {
        return strcmp(wish->word, "copy") != 0 &&
               strcmp(wish->word, "fetch") != 0;
    }
    return !options->drill && (strcmp(wish->word, "copy") == 0 ||
                               strcmp(wish->word, "fetch") == 0 ||
                               strcmp(wish->word, "verify") == 0 ||
                               strcmp(wish->word, "restore") == 0);
}

/* What it is for, and how good it must be, is asked of `now` alone. */
static bool
fits_now(const struct backup_options *options, const struct wish *wish)
{
    const char *verdict = options->verdict;

    if (strcmp(wish->word, "now") != 0) {
        return options->purpose == NULL && verdict == NULL;
    }
    return (options->purpose == NULL ||
            strcmp(options->purpose, "deploy") == 0) &&
           (verdict == NULL || strcmp(verdict, "parsed") == 0 ||
            strcmp(verdict, "restored") == 0);
}

static int
usage(void)
{
    (void)fprintf(
        stderr,
        "usage: amyctl backup now SITE [--for deploy] [--verdict "
        "parsed|restored]\n"
        "       amyctl backup check SITE\n"
        "       amyctl backup list|prune SITE [--dry-run]\n"
        "       amyctl backup show|verify|restore SITE [BACKUP] [--drill] "
        "[--to DATABASE]\n"
        "       amyctl backup pin|unpin|accept SITE BACKUP\n"
        "       amyctl backup copy SITE --copy NAME\n"
        "       amyctl backup verify SITE [BACKUP] --copy NAME\n"
        "       amyctl backup fetch SITE [BACKUP] --from NAME\n"
        "       amyctl backup restore SITE [BACKUP] --from NAME [--to "
        "DATABASE]\n");
    return EXIT_USAGE;
}

int
ctl_backup(const struct ctl *ctl, int argc, char **argv)
{
    const char *set = argc > 2 ? argv[2] : NULL;

    given.run = ctl->run;
    given.json = ctl->json;
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        const struct wish *wish = &wishes[i];

        if (strcmp(argv[0], wish->word) != 0) {
            continue;
        }
        if ((set == NULL && wish->needs_set) ||
            (set != NULL && !wish->takes_set) ||
            (given.drill && strcmp(wish->word, "verify") != 0) ||
            !fits_now(&given, wish) || !fits_copy(&given, wish)) {
            return usage();
        }
        if (!ctl_is_name(argv[1])) {
            return ctl_no_such_site(argv[1]);
        }
        return wish->action == NULL ? ctl_check(given.run, argv[1])
                                    : grant(&given, wish, argv[1], set);
    }
    return usage();
}
