/* What all commands of amyctl share: the options that each takes, the reading
 * of a command line, and how they complain. */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>

#define EXIT_USAGE 2

/* Options that every command takes, before its name or behind it. */
struct ctl {
    const char *run;     /* where the control sockets are */
    const char *webapps; /* where the sites are */
    const char *state;   /* what daemons and deployments remember */
    const char *config;  /* amy.yaml; NULL: not given */
    bool json;
};

/* An option of one command: with a value (text) or without (flag). */
struct ctl_option {
    const char *name;
    char letter; /* 0: none */
    const char **text;
    bool *flag;
};

struct ctl_command {
    const char *name;
    int min; /* words behind the name */
    int max;
    int (*fn)(const struct ctl *ctl, int argc, char **argv);
    const char *usage; /* "deploy SITE [--ref REF]" */
    const char *help;
    const struct ctl_option *options; /* up to one without a name; or NULL */
    /* The words behind the first are another program's, whatever they look
     * like. */
    bool is_prefix;
};
#define CTL_OPTIONS_MAX 24 /* of one command */
#define CTL_WORDS_MAX 1000000

/* Read what stands behind the command's name (argv[0]) and run it. An exit
 * code. */
int ctl_run(const struct ctl_command *command, struct ctl *ctl, int argc,
            char **argv);
/* The options in front of it. An exit code, or -1 to go on; ret_used: how many
 * arguments they were. */
int ctl_read_common(struct ctl *ctl, int argc, char **argv, int *ret_used);

struct amy_problem;

/* An amy_problem_fn: the errors of a site.yaml, a line on stderr each; warnings
 * are what reload and status tell. `user` counts them, an unsigned. */
void ctl_show_problem(const struct amy_problem *problem, void *user);

/* Lines to stderr; the exit codes that go with them. */
int ctl_usage(const char *what, const char *value);
int ctl_fail(const char *what);
int ctl_no_such_site(const char *site);
/* What a name in a path may have: nothing that would need encoding. */
bool ctl_is_name(const char *text);

/* Of amyctl.c: the page of help. */
void ctl_help(void);

#endif
