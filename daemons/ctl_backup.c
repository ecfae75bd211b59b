/* Jobs of amy-backup, asked for and followed to their end. */
/* Not for what they do: the daemon's jobs know. */
#include "ctl_backup.h"

#include <amy/clock.h>

#include "ctl_ask.h"
#include "ctl_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define ASK_MS 10000U /* an answer comes within a second or two */

struct wish {
    const char *word;
    const char *action;
    bool needs_set;
    bool takes_set;
    void (*show)(const json_t *result);
};

static const char *
text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

static int64_t
int_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* --- showing --- */

static enum text_style
style_of(const char *verdict)
{
    if (strcmp(verdict, "parsed") == 0 || strcmp(verdict, "restored") == 0) {
        return TEXT_GOOD;
    }
    return strcmp(verdict, "damaged") == 0 ? TEXT_BAD : TEXT_WARN;
}

static void
set_row(struct table *table, const json_t *set)
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
    table_cell(table, TEXT_PLAIN, "%s%s%s%s",
               json_is_true(json_object_get(set, "pinned")) ? "pinned " : "",
               text_at(set, "reason"),
               text_at(set, "warning")[0] == '\0' ? "" : " warning: ",
               text_at(set, "warning"));
}

static void
show_table(const json_t *sets)
{
    static const char *const heads[] = {"backup", "verdict", "rows",
                                        "size",   "made in", "restored in",
                                        "why",    ""};
    struct table *table = table_create("llrrrrll");
    const json_t *set = NULL;
    size_t i = 0;

    table_row(table);
    for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        table_cell(table, TEXT_FAINT, "%s", heads[i]);
    }
    json_array_foreach(sets, i, set)
    {
        set_row(table, set);
    }
    table_finish(table, "");
}

static void
show_list(const json_t *result)
{
    const json_t *sets = json_object_get(result, "sets");
    int64_t foreign = int_at(result, "foreign");

    if (json_array_size(sets) == 0) {
        text_print(TEXT_PLAIN, "there are no backups\n");
    } else {
        show_table(sets);
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
        show_table(one);
        json_decref(one);
    }
}

static void
show_manifest(const json_t *result)
{
    char *text =
        json_dumps(json_object_get(result, "manifest"), JSON_INDENT(2));

    (void)printf("%s\n", text == NULL ? "" : text);
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

/* --- asking --- */

static int
ask_one(const char *run, struct ask *ask, const char *site)
{
    if (ask_all(run, ask, 1) < 0) {
        (void)fprintf(stderr, "amyctl: making an event base failed\n");
        return EXIT_FAILURE;
    }
    if (!ask_succeeded(ask)) {
        ask_complain(ask, run, site);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

struct follow {
    bool on_terminal;
    bool shown;
    char stage[16];
    int64_t began_ms;
};

static int64_t
now_ms(void)
{
    const struct amy_clock *clock = amy_clock_system();

    return clock->mono_ms(clock->user);
}

/* One line that is written over; only for a person who watches. */
static void
show_progress(struct follow *follow, const json_t *job)
{
    const json_t *progress = json_object_get(job, "progress");
    int64_t bytes = int_at(progress, "bytes");
    int64_t of = int_at(progress, "of");
    int64_t elapsed_ms = 0;
    char done[32] = "";
    char all[32] = "";
    char left[32] = "";

    if (!follow->on_terminal || progress == NULL) {
        return;
    }
    if (strcmp(follow->stage, text_at(progress, "stage")) != 0) {
        (void)snprintf(follow->stage, sizeof(follow->stage), "%s",
                       text_at(progress, "stage"));
        follow->began_ms = now_ms();
    }
    elapsed_ms = now_ms() - follow->began_ms;
    (void)fprintf(stderr, "\r\033[K%s  %s", follow->stage,
                  text_bytes(bytes, done, sizeof(done)));
    if (of > bytes && bytes > 0) {
        (void)fprintf(
            stderr, " of %s, %s left", text_bytes(of, all, sizeof(all)),
            text_duration((int64_t)((double)elapsed_ms * (double)(of - bytes) /
                                    (double)bytes),
                          left, sizeof(left)));
    }
    (void)fflush(stderr);
    follow->shown = true;
}

static void
end_progress(const struct follow *follow)
{
    if (follow->shown) {
        (void)fprintf(stderr, "\r\033[K");
    }
}

/* Until it is over; the last answer is the caller's to free, NULL: a failure
 * that was told. */
static json_t *
follow_job(const char *run, const char *site, json_t *job)
{
    struct follow follow = {.on_terminal = isatty(STDERR_FILENO) == 1,
                            .began_ms = now_ms()};
    int64_t number = int_at(job, "run");

    while (strcmp(text_at(job, "state"), "running") == 0) {
        struct ask ask = {
            .daemon = "backup", .method = "GET", .timeout_ms = ASK_MS};
        int code = 0;

        show_progress(&follow, job);
        (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/jobs/%" PRId64,
                       site, number);
        code = ask_one(run, &ask, site);
        json_decref(job);
        job = code == EXIT_SUCCESS ? json_incref(ask.json) : NULL;
        ask_clear(&ask, 1);
    }
    end_progress(&follow);
    return job;
}

static int
show_end(const struct backup_options *options, const struct wish *wish,
         const char *site, const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    bool failed = strcmp(text_at(job, "state"), "done") != 0;

    if (options->json) {
        (void)json_dumpf(job, stdout, JSON_INDENT(2));
        (void)printf("\n");
    } else if (failed) {
        show_set(result);
        text_begin(stderr);
        text_print(TEXT_PLAIN, "amyctl: %s: %s\n", site,
                   text_at(job, "message"));
        text_begin(stdout);
    } else {
        wish->show(result);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int
grant(const struct backup_options *options, const struct wish *wish,
      const char *site, const char *set)
{
    struct ask ask = {
        .daemon = "backup", .method = "POST", .timeout_ms = ASK_MS};
    const char *action = options->drill ? "drill" : wish->action;
    json_t *body = json_pack("{s:s, s:s, s:s, s:b}", "action", action, "set",
                             set == NULL ? "" : set, "to",
                             options->to == NULL ? "" : options->to, "dry_run",
                             options->dry_run ? 1 : 0);
    char *text = json_dumps(body, JSON_COMPACT);
    json_t *job = NULL;
    int code = EXIT_FAILURE;

    json_decref(body);
    ask.body = text;
    (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/jobs", site);
    code = ask_one(options->run, &ask, site);
    free(text);
    if (code == EXIT_SUCCESS) {
        job = follow_job(options->run, site, json_incref(ask.json));
        code = job == NULL ? EXIT_FAILURE : show_end(options, wish, site, job);
        json_decref(job);
    }
    ask_clear(&ask, 1);
    return code;
}

static const struct wish wishes[] = {
    {"now", "dump", false, false, show_set},
    {"list", "list", false, false, show_list},
    {"show", "show", false, true, show_manifest},
    {"verify", "verify", false, true, show_set},
    {"restore", "restore", false, true, show_set},
    {"pin", "pin", true, true, show_set},
    {"unpin", "unpin", true, true, show_set},
    {"accept", "accept", true, true, show_set},
    {"prune", "prune", false, false, show_removed},
};

static bool
is_plain(const char *text)
{
    return text[0] != '\0' && strlen(text) < 254 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789.-_") == strlen(text);
}

static int
usage(void)
{
    (void)fprintf(
        stderr,
        "usage: amyctl backup now|list|prune SITE [--dry-run]\n"
        "       amyctl backup show|verify|restore SITE [BACKUP] [--drill] "
        "[--to DATABASE]\n"
        "       amyctl backup pin|unpin|accept SITE BACKUP\n");
    return EXIT_USAGE;
}

int
ctl_backup(const struct backup_options *options, int argc, char **argv)
{
    const char *set = argc > 2 ? argv[2] : NULL;

    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        const struct wish *wish = &wishes[i];

        if (strcmp(argv[0], wish->word) != 0) {
            continue;
        }
        if ((set == NULL && wish->needs_set) ||
            (set != NULL && !wish->takes_set) ||
            (options->drill && strcmp(wish->word, "verify") != 0)) {
            return usage();
        }
        if (!is_plain(argv[1])) {
            (void)fprintf(stderr, "amyctl: there is no site '%s'\n", argv[1]);
            return EXIT_FAILURE;
        }
        return grant(options, wish, argv[1], set);
    }
    return usage();
}
