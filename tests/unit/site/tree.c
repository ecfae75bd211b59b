#include "tree.h"

#include "amy_test.h"

#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    char text[64 * 1024];
    size_t n;
} problems;

void
problems_clear(void)
{
    problems.n = 0;
    problems.text[0] = '\0';
}

void
problems_add(const struct amy_problem *problem, void *user)
{
    (void)user;
    assert_int_equal(problem->struct_size, sizeof(*problem));
    problems.n += amy__problem_format(problem, problems.text + problems.n,
                                      sizeof(problems.text) - problems.n);
    assert_true(problems.n + 1 < sizeof(problems.text));
    problems.text[problems.n++] = '\n';
    problems.text[problems.n] = '\0';
}

const char *
problems_text(void)
{
    return problems.text;
}

const char *
problems_below(const struct tree *tree)
{
    size_t n = strlen(tree->top);
    char *at = NULL;

    while ((void)(at = strstr(problems.text, tree->top)), at != NULL) {
        memcpy(at, "TOP", 3);
        memmove(at + 3, at + n, strlen(at + n) + 1);
    }
    return problems.text;
}

void
tree_make(struct tree *tree)
{
    const struct passwd *pw = NULL;

    *tree = (struct tree){.as_person = geteuid() != 0};
    pw = tree->as_person ? getpwuid(geteuid()) : getpwnam("nobody");
    assert_non_null(pw);
    tree->user = strdup(pw->pw_name);
    tree->uid = pw->pw_uid;
    tree->gid = pw->pw_gid;
    (void)umask(022);
    (void)snprintf(tree->top, sizeof(tree->top), "/tmp/amy-site-XXXXXX");
    assert_non_null(mkdtemp(tree->top));
    assert_int_equal(chmod(tree->top, 0755), 0);
    (void)snprintf(tree->path, sizeof(tree->path), "%.40s/webapps", tree->top);
    assert_int_equal(mkdir(tree->path, 0755), 0);
    tree->webapps_fd = open(tree->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(tree->webapps_fd >= 0);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void
tree_remove(struct tree *tree)
{
    (void)close(tree->webapps_fd);
    (void)nftw(tree->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free((char *)(uintptr_t)tree->user);
}

const char *
tree_path(const struct tree *tree, const char *name)
{
    static char path[4096];

    (void)snprintf(path, sizeof(path), "%s/%s", tree->path, name);
    return path;
}

void
tree_dir(const struct tree *tree, const char *name)
{
    assert_int_equal(mkdir(tree_path(tree, name), 0755), 0);
}

void
tree_file(const struct tree *tree, const char *name, const char *text)
{
    int fd = open(tree_path(tree, name),
                  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

struct amy__site_rules
tree_rules(const struct tree *tree)
{
    return (struct amy__site_rules){.as_person = tree->as_person,
                                    .person = geteuid()};
}
