/* A webapps directory of a test's own, with real owners when run by root. */
#ifndef TREE_H
#define TREE_H

#include "site/site.h"

#include <stdbool.h>
#include <sys/types.h>

struct tree {
    char path[64]; /* of webapps, below a fresh directory in /tmp */
    char top[64];
    int webapps_fd;
    bool as_person;   /* not root: everything is ours */
    const char *user; /* a site's user: nobody, or us */
    uid_t uid;
    gid_t gid;
};

void tree_make(struct tree *tree);
void tree_remove(struct tree *tree);

/* Below webapps; parents must be there. */
void tree_dir(const struct tree *tree, const char *name);
void tree_file(const struct tree *tree, const char *name, const char *text);
/* Full path; valid until the next call. */
const char *tree_path(const struct tree *tree, const char *name);

struct amy__site_rules tree_rules(const struct tree *tree);

/* Collects problems as lines. */
void problems_clear(void);
void problems_add(const struct amy_problem *problem, void *user);
const char *problems_text(void);
/* The same, with the tree's own directory written as TOP. */
const char *problems_below(const struct tree *tree);

#endif
