/* Jobs of amy-backup, asked for and followed to their end. */
/* Not for what is asked nor how its result is shown: ctl_backup.c and others.
 */
#include "ctl_job.h"

#include <amy/clock.h>

#include "ctl_ask.h"
#include "ctl_json.h"
#include "ctl_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_BUSY 409
#define ASK_MS 10000U /* an answer comes within a second or two */

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
    bool json;
    char stage[16];
    int64_t began_ms;
};

static int64_t
now_ms(void)
{
    const struct amy_clock *clock = amy_clock_system();

    return clock->mono_ms(clock->user);
}

static void
show_tables(const json_t *progress)
{
    int64_t tables = int_at(progress, "tables");
    int64_t of = int_at(progress, "of_tables");

    if (tables > 0 && of >= tables) {
        (void)fprintf(stderr, ", table %" PRId64 " of %" PRId64, tables, of);
    } else if (tables > 0) {
        (void)fprintf(stderr, ", table %" PRId64, tables);
    }
}

/* One line that is written over; only for a person who watches. */
static void
show_progress(struct follow *follow, const json_t *progress)
{
    int64_t bytes = int_at(progress, "bytes");
    int64_t of = int_at(progress, "of");
    int64_t elapsed_ms = 0;
    char done[32] = "";
    char all[32] = "";
    char left[32] = "";

    if (strcmp(follow->stage, text_at(progress, "stage")) != 0) {
        (void)snprintf(follow->stage, sizeof(follow->stage), "%s",
                       text_at(progress, "stage"));
        text_tame(follow->stage);
        follow->began_ms = now_ms();
    }
    elapsed_ms = now_ms() - follow->began_ms;
    (void)fprintf(stderr, "\r\033[K%s  %s", follow->stage,
                  text_bytes(bytes, done, sizeof(done)));
    if (of > bytes) {
        (void)fprintf(stderr, " of %s", text_bytes(of, all, sizeof(all)));
    }
    show_tables(progress);
    if (of > bytes && bytes > 0) {
        (void)fprintf(
            stderr, ", %s left",
            text_duration((int64_t)((double)elapsed_ms * (double)(of - bytes) /
                                    (double)bytes),
                          left, sizeof(left)));
    }
    (void)fflush(stderr);
    follow->shown = true;
}

void
job_print(const json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_COMPACT);
    (void)printf("\n");
    (void)fflush(stdout);
}

/* Programs are told of each step once: an answer may bring the same again. */
static void
tell_progress(struct follow *follow, const json_t *job, const json_t *before)
{
    const json_t *progress = json_object_get(job, "progress");

    if (progress == NULL) {
        return;
    }
    if (follow->json &&
        !json_equal(progress, json_object_get(before, "progress"))) {
        job_print(progress);
    }
    if (follow->on_terminal && !follow->json) {
        show_progress(follow, progress);
    }
}

static void
end_progress(const struct follow *follow)
{
    if (follow->shown) {
        (void)fprintf(stderr, "\r\033[K");
    }
}

/* How a job is now; NULL: nobody knows, or it could not be asked. */
static json_t *
ask_job(const char *run, const char *site, int64_t number, bool quiet)
{
    struct ask ask = {
        .daemon = "backup", .method = "GET", .timeout_ms = ASK_MS};
    json_t *job = NULL;

    (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/jobs/%" PRId64,
                   site, number);
    if (quiet) {
        job = ask_all(run, &ask, 1) == 0 && ask_succeeded(&ask)
                  ? json_incref(ask.json)
                  : NULL;
    } else if (ask_one(run, &ask, site) == EXIT_SUCCESS) {
        job = json_incref(ask.json);
    }
    ask_clear(&ask, 1);
    return job;
}

static bool
is_running(const json_t *job)
{
    return strcmp(text_at(job, "state"), "running") == 0;
}

/* Until it is over; the last answer is the caller's to free, NULL: a failure
 * that was told. */
json_t *
job_follow(const struct job_options *options, const char *site, json_t *job)
{
    struct follow follow = {.on_terminal = isatty(STDERR_FILENO) == 1,
                            .json = options->json,
                            .began_ms = now_ms()};
    int64_t number = int_at(job, "run");
    json_t *before = NULL;

    while (is_running(job)) {
        tell_progress(&follow, job, before);
        json_decref(before);
        before = job;
        job = ask_job(options->run, site, number, false);
    }
    json_decref(before);
    end_progress(&follow);
    return job;
}

int
job_complain(const char *site, const char *why)
{
    text_begin(stderr);
    text_print(TEXT_PLAIN, "amyctl: %s: %s\n", site, why);
    text_begin(stdout);
    return EXIT_FAILURE;
}

/* --- other jobs in the way --- */

/* The number of the job that the site has under way; 0: none. */
static int64_t
find_running(const char *run, const char *site)
{
    struct ask ask = {.daemon = "backup",
                      .method = "GET",
                      .path = "/v1/status",
                      .timeout_ms = ASK_MS};
    const json_t *one = NULL;
    int64_t number = 0;
    size_t i = 0;

    if (ask_all(run, &ask, 1) == 0 && ask_succeeded(&ask)) {
        json_array_foreach(json_object_get(ask.json, "sites"), i, one)
        {
            if (strcmp(text_at(one, "site"), site) == 0) {
                one = json_object_get(one, "backup");
                number = int_at(json_object_get(one, "running"), "run");
                break;
            }
        }
    }
    ask_clear(&ask, 1);
    return number;
}

/* Let what the site has under way come to its end. */
static void
wait_for_others(const struct job_options *options, const char *site)
{
    int64_t number = find_running(options->run, site);
    bool more = number > 0;

    while (more) {
        json_t *job = ask_job(options->run, site, number, true);

        more = is_running(job);
        json_decref(job);
    }
}

/* Asked for, and taken; NULL: refused, which was told. A deployment waits for
 * its turn. */
json_t *
job_begin(const struct job_options *options, const char *site, const char *what,
          const char *body)
{
    struct ask ask = {.daemon = "backup",
                      .method = "POST",
                      .body = body,
                      .timeout_ms = ASK_MS};
    json_t *job = NULL;
    bool again = true;

    (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/%s", site, what);
    while (again) {
        if (ask_all(options->run, &ask, 1) < 0) {
            (void)job_complain(site, "making an event base failed");
            break;
        }
        again = options->wait_turn && ask.status == STATUS_BUSY;
        if (ask_succeeded(&ask)) {
            job = json_incref(ask.json);
        } else if (!again) {
            ask_complain(&ask, options->run, site);
        }
        ask_clear(&ask, 1);
        ask.status = 0;
        if (again) {
            wait_for_others(options, site);
        }
    }
    return job;
}
