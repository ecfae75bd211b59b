/* What all commands of amyctl share: reading a command line. */
/* Not for what a command does: each has its own ctl_*.c. */
#include "ctl.h"

#include <amy/error.h>
#include <amy/version.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum common_id {
    COMMON_RUN = 256,
    COMMON_WEBAPPS,
    COMMON_STATE,
    COMMON_CONFIG,
    COMMON_JSON,
    COMMON_HELP,
    COMMON_VERSION,
    OWN_FIRST, /* a command's options, in their order */
};

static const struct option common[] = {
    {"run", required_argument, NULL, COMMON_RUN},
    {"webapps", required_argument, NULL, COMMON_WEBAPPS},
    {"state", required_argument, NULL, COMMON_STATE},
    {"config", required_argument, NULL, COMMON_CONFIG},
    {"json", no_argument, NULL, COMMON_JSON},
    {"help", no_argument, NULL, COMMON_HELP},
    {"version", no_argument, NULL, COMMON_VERSION},
};
#define COMMON_COUNT (sizeof(common) / sizeof(common[0]))

int
ctl_usage(const char *what, const char *value)
{
    if (what != NULL) {
        (void)fprintf(stderr, "amyctl: %s%s\n", what, value);
    }
    (void)fprintf(stderr, "try 'amyctl --help'\n");
    return EXIT_USAGE;
}

int
ctl_fail(const char *what)
{
    (void)fprintf(stderr, "amyctl: %s\n", what);
    return EXIT_FAILURE;
}

int
ctl_no_such_site(const char *site)
{
    (void)fprintf(stderr, "amyctl: there is no site '%s'\n", site);
    return EXIT_FAILURE;
}

void
ctl_show_problem(const struct amy_problem *problem, void *user)
{
    unsigned *errors = user;

    if (problem->severity == AMY_SEVERITY_WARNING) {
        return;
    }
    (*errors)++;
    (void)fprintf(stderr, "amyctl: %s", problem->file);
    if (problem->line > 0) {
        (void)fprintf(stderr, ":%u:%u", problem->line, problem->column);
    }
    (void)fprintf(stderr, ": %s%s%s", problem->key == NULL ? "" : problem->key,
                  problem->key == NULL ? "" : ": ", problem->message);
    if (problem->allowed != NULL) {
        (void)fprintf(stderr, " (allowed: %s)", problem->allowed);
    }
    (void)fprintf(stderr, "\n");
}

bool
ctl_is_name(const char *text)
{
    return text[0] != '\0' && strlen(text) < 256 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789.-_") == strlen(text);
}

/* An exit code, or -1 to go on. */
static int
set_common(struct ctl *ctl, int id)
{
    switch (id) {
    case COMMON_RUN:
        ctl->run = optarg;
        return -1;
    case COMMON_WEBAPPS:
        ctl->webapps = optarg;
        return -1;
    case COMMON_STATE:
        ctl->state = optarg;
        return -1;
    case COMMON_CONFIG:
        ctl->config = optarg;
        return -1;
    case COMMON_JSON:
        ctl->json = true;
        return -1;
    case COMMON_HELP:
        ctl_help();
        return EXIT_SUCCESS;
    case COMMON_VERSION:
        (void)printf("amyctl %s\n", amy_version());
        return EXIT_SUCCESS;
    default: /* getopt_long(3) has said it */
        return ctl_usage(NULL, NULL);
    }
}

/* getopt_long(3) wants both kinds in its own form. */
struct grammar {
    struct option options[COMMON_COUNT + CTL_OPTIONS_MAX + 1];
    char letters[2 * CTL_OPTIONS_MAX + 2];
};

static void
make_grammar(struct grammar *grammar, const struct ctl_option *own,
             bool stops_at_word)
{
    size_t n = COMMON_COUNT;
    size_t letters = 0;

    memset(grammar, 0, sizeof(*grammar));
    memcpy(grammar->options, common, sizeof(common));
    if (stops_at_word) {
        grammar->letters[letters++] = '+';
    }
    for (size_t i = 0;
         own != NULL && own[i].name != NULL && i < CTL_OPTIONS_MAX; i++) {
        bool has_value = own[i].text != NULL;

        grammar->options[n++] = (struct option){
            own[i].name, has_value ? required_argument : no_argument, NULL,
            OWN_FIRST + (int)i};
        if (own[i].letter != 0) {
            grammar->letters[letters++] = own[i].letter;
            grammar->letters[letters] = ':';
            letters += has_value ? 1 : 0;
        }
    }
    grammar->letters[letters] = '\0';
}

/* Is it one of the command's own? Then it is set. */
static bool
set_own(const struct ctl_option *own, int id)
{
    for (size_t i = 0; own != NULL && own[i].name != NULL; i++) {
        if (id != OWN_FIRST + (int)i &&
            (own[i].letter == 0 || id != own[i].letter)) {
            continue;
        }
        if (own[i].text != NULL) {
            *own[i].text = optarg;
        } else {
            *own[i].flag = true;
        }
        return true;
    }
    return false;
}

/* An exit code, or -1: argv from optind on are words. */
static int
read_options(struct ctl *ctl, const struct ctl_option *own, bool stops_at_word,
             int argc, char **argv)
{
    struct grammar grammar;
    int code = -1;

    make_grammar(&grammar, own, stops_at_word);
    optind = 0; /* glibc: begin anew, with other letters */
    while (code < 0) {
        int id =
            getopt_long(argc, argv, grammar.letters, grammar.options, NULL);

        if (id == -1) {
            return -1;
        }
        if (!set_own(own, id)) {
            code = set_common(ctl, id);
        }
    }
    return code;
}

int
ctl_read_common(struct ctl *ctl, int argc, char **argv, int *ret_used)
{
    int code = read_options(ctl, NULL, true, argc, argv);

    *ret_used = optind;
    return code;
}

int
ctl_run(const struct ctl_command *command, struct ctl *ctl, int argc,
        char **argv)
{
    static char program[] = "amyctl";
    int words = 0;
    int code = 0;

    argv[0] = program; /* getopt_long(3) complains in its name */
    code = read_options(ctl, command->options, command->is_prefix, argc, argv);
    words = argc - optind;
    if (code >= 0) {
        return code;
    }
    if (words < command->min || words > command->max) {
        return ctl_usage("usage: amyctl ", command->usage);
    }
    return command->fn(ctl, words, argv + optind);
}
