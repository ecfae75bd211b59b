/* Options of amyctl logs, and lines on a terminal. */
/* Not for finding or merging them: amy_log_reader does. */
#include "ctl_logs.h"

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>
#include <amy/logrotate.h>

#include "ctl_text.h"
#include "ctl_when.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLLOW_LAST 10
#define LOOK_MS 500
/* A line whose every byte is escaped, and its fields. */
#define JSON_MAX ((size_t)8 * AMY_LOG_LINE_MAX)

/* As given; NULL: not. */
struct logs_options {
    const char *webapps;
    const char *site;
    bool json;
    bool follow;
    const char *since;
    const char *until;
    const char *grep;
    const char *components;
    const char *last;
};
static struct logs_options given;

const struct ctl_option ctl_logs_options[] = {
    {"follow", 'f', NULL, &given.follow},
    {"lines", 'n', &given.last, NULL},
    {"since", 0, &given.since, NULL},
    {"until", 0, &given.until, NULL},
    {"grep", 0, &given.grep, NULL},
    {"component", 0, &given.components, NULL},
    {NULL, 0, NULL, NULL}};

struct work {
    const struct logs_options *options;
    struct amy_log_reader_options reader;
    regex_t regex;
    bool has_regex;
    bool plain_text; /* not to a terminal: lines go out as they are */
    char *json;
};

static int
refuse(const char *what, const char *value, const char *allowed)
{
    (void)fprintf(stderr, "amyctl: logs: %s '%s': %s\n", what, value, allowed);
    return EXIT_USAGE;
}

static void
complain(enum amy_log_level level, const char *line, void *user)
{
    (void)level;
    (void)user;
    (void)fprintf(stderr, "amyctl: %s\n", line);
}

/* ---- options ---- */

static bool
add_component(const char *name, size_t n, uint32_t *components)
{
    for (uint32_t i = 0; i < AMY_LOG_COMPONENT_COUNT; i++) {
        const char *known = amy_log_component_name(i);

        if (strlen(known) == n && strncmp(known, name, n) == 0) {
            *components |= 1U << i;
            return true;
        }
    }
    return false;
}

static int
read_components(struct work *work)
{
    const char *list = work->options->components;

    while (list != NULL && *list != '\0') {
        size_t n = strcspn(list, ",");

        if (!add_component(list, n, &work->reader.components)) {
            return refuse("--component", work->options->components,
                          "of access, error, workers, backup and deploy, "
                          "with commas between");
        }
        list += list[n] == ',' ? n + 1 : n;
    }
    return EXIT_SUCCESS;
}

static int
read_last(struct work *work)
{
    const char *text = work->options->last;
    char *end = NULL;

    if (text == NULL) {
        work->reader.last =
            work->options->follow && work->options->since == NULL ? FOLLOW_LAST
                                                                  : 0;
        return EXIT_SUCCESS;
    }
    errno = 0;
    work->reader.last = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '1' || text[0] > '9' || *end != '\0') {
        return refuse("-n", text, "how many lines, from 1 on");
    }
    return EXIT_SUCCESS;
}

static int
read_times(struct work *work)
{
    const struct amy_clock *clock = amy_clock_system();
    int64_t now_ms = clock->wall_ms(clock->user);
    const char *since = work->options->since;
    const char *until = work->options->until;

    if (since != NULL &&
        !when_read(since, now_ms, &work->reader.since_wall_ms)) {
        return refuse("--since", since, WHEN_ALLOWED);
    }
    if (until != NULL &&
        !when_read(until, now_ms, &work->reader.until_wall_ms)) {
        return refuse("--until", until, WHEN_ALLOWED);
    }
    return EXIT_SUCCESS;
}

static bool
match(const struct amy_log_line *line, void *user)
{
    const struct work *work = user;
    regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)line->text_bytes};

    return regexec(&work->regex, line->text, 1, &range, REG_STARTEND) == 0;
}

static int
read_regex(struct work *work)
{
    char why[160];
    int rc = 0;

    if (work->options->grep == NULL) {
        return EXIT_SUCCESS;
    }
    rc = regcomp(&work->regex, work->options->grep, REG_EXTENDED | REG_NOSUB);
    if (rc != 0) {
        (void)regerror(rc, &work->regex, why, sizeof(why));
        return refuse("--grep", work->options->grep, why);
    }
    work->has_regex = true;
    work->reader.match = match;
    work->reader.user = work;
    return EXIT_SUCCESS;
}

static int
read_options(struct work *work)
{
    int code = read_components(work);

    code = code == EXIT_SUCCESS ? read_last(work) : code;
    code = code == EXIT_SUCCESS ? read_times(work) : code;
    return code == EXIT_SUCCESS ? read_regex(work) : code;
}

/* ---- lines ---- */

/* A terminal obeys what a visitor or a worker wrote: no control characters. */
static void
print_text(const struct work *work, const struct amy_log_line *line)
{
    const char *p = line->text;
    size_t left = line->text_bytes;

    while (left > 0) {
        size_t n = *p == '\t' ? 1 : text_printable(p, left);

        n = work->plain_text ? left : n;
        if (n == 0) {
            (void)putchar('?');
            n = 1;
        } else {
            (void)fwrite(p, 1, n, stdout);
        }
        p += n;
        left -= n;
    }
    (void)fputs(line->cut != 0 ? " [cut]\n" : "\n", stdout);
}

static void
print_line(const struct work *work, const struct amy_log_line *line)
{
    if (work->options->json) {
        (void)fwrite(work->json, 1,
                     amy_log_line_json(line, work->json, JSON_MAX), stdout);
        return;
    }
    text_print(line->component == AMY_LOG_COMPONENT_ERROR ? TEXT_WARN
                                                          : TEXT_FAINT,
               "%-8s", amy_log_component_name(line->component));
    print_text(work, line);
}

static void
wait_for_more(const struct amy_log_reader *reader)
{
    struct pollfd wait = {.fd = amy_log_reader_fd(reader), .events = POLLIN};

    (void)poll(&wait, 1, LOOK_MS);
}

static int
print_all(struct work *work, struct amy_log_reader *reader)
{
    struct amy_log_line line = {.struct_size = sizeof(line)};

    for (;;) {
        if (amy_log_reader_next(reader, &line) > 0) {
            print_line(work, &line);
            continue;
        }
        if (fflush(stdout) != 0) {
            (void)fprintf(stderr, "amyctl: logs: writing: %s\n",
                          strerror(errno));
            return EXIT_FAILURE;
        }
        if (!work->options->follow) {
            return EXIT_SUCCESS;
        }
        wait_for_more(reader);
    }
}

static int
open_reader(struct work *work, struct amy_log_reader **ret_reader)
{
    const struct logs_options *options = work->options;
    struct amy_error err = AMY_ERROR_INIT;
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s/site.yaml", options->webapps,
                     options->site);
    int rc = 0;

    if (n < 0 || (size_t)n >= sizeof(path) || access(path, F_OK) != 0) {
        (void)fprintf(stderr, "amyctl: there is no site '%s' in %s\n",
                      options->site, options->webapps);
        return EXIT_FAILURE;
    }
    *strrchr(path, '/') = '\0';
    work->reader.directory = path;
    rc = amy_log_reader_open(&work->reader, ret_reader, &err);
    if (rc == AMY_EDENIED) {
        (void)fprintf(stderr,
                      "amyctl: logs: %s: root and the site's user may read "
                      "them\n",
                      err.msg);
    } else if (rc < 0) {
        (void)fprintf(stderr, "amyctl: logs: %s\n", err.msg);
    }
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int
show_logs(const struct logs_options *options)
{
    const struct amy_log log = {.struct_size = sizeof(log), .fn = complain};
    struct work work = {.options = options,
                        .reader = AMY_LOG_READER_OPTIONS_INIT,
                        .plain_text = isatty(STDOUT_FILENO) == 0};
    struct amy_log_reader *reader = NULL;
    int code = read_options(&work);

    work.reader.log = &log;
    work.reader.follow = options->follow ? 1 : 0;
    work.json = options->json ? malloc(JSON_MAX) : NULL;
    if (code == EXIT_SUCCESS && options->json && work.json == NULL) {
        (void)fprintf(stderr, "amyctl: out of memory\n");
        code = EXIT_FAILURE;
    }
    /* Who reads us may have seen enough. */
    (void)signal(SIGPIPE, SIG_DFL);
    if (code == EXIT_SUCCESS) {
        code = open_reader(&work, &reader);
    }
    if (code == EXIT_SUCCESS) {
        code = print_all(&work, reader);
    }
    amy_log_reader_free(reader);
    if (work.has_regex) {
        regfree(&work.regex);
    }
    free(work.json);
    return code;
}

int
ctl_logs(const struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    if (!ctl_is_name(argv[0])) {
        return ctl_no_such_site(argv[0]);
    }
    given.webapps = ctl->webapps;
    given.json = ctl->json;
    given.site = argv[0];
    return show_logs(&given);
}
