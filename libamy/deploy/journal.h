/* What a deployment has done so far, as a file: written before each thing that
 * would have to be undone, so that whoever finds it after a kill knows enough.
 * Pure: bytes in, bytes out. */
#ifndef AMY_DEPLOY_JOURNAL_H
#define AMY_DEPLOY_JOURNAL_H

#include <amy/error.h>

#include "core/buf.h"
#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__DEPLOY_ID_SIZE 17   /* 16 hexadecimal digits */
#define AMY__DEPLOY_NAME_SIZE 64 /* of a release */
#define AMY__DEPLOY_REF_SIZE 256
#define AMY__DEPLOY_COMMIT_SIZE 65
#define AMY__DEPLOY_LINK_SIZE 512
#define AMY__DEPLOY_STEP_SIZE 40
#define AMY__DEPLOY_MIGRATIONS_MAX 1000
#define AMY__DEPLOY_JOURNAL_MAX ((size_t)256 * 1024)

enum amy__deploy_kind {
    AMY__DEPLOY_RELEASE = 0,
    AMY__DEPLOY_ROLLBACK,
};

struct amy__deploy_journal {
    char id[AMY__DEPLOY_ID_SIZE]; /* its processes have it as AMY_DEPLOY */
    enum amy__deploy_kind kind;
    int64_t pid;
    int64_t began_wall_ms;
    char step[AMY__DEPLOY_STEP_SIZE]; /* begun last */
    char release[AMY__DEPLOY_NAME_SIZE];
    char ref[AMY__DEPLOY_REF_SIZE];
    char commit[AMY__DEPLOY_COMMIT_SIZE];
    char target[AMY__DEPLOY_LINK_SIZE];   /* what repo is to lead to */
    char previous[AMY__DEPLOY_LINK_SIZE]; /* what it led to; "": nothing */
    char backup[AMY__DEPLOY_NAME_SIZE];   /* the set made before it */
    bool in_place; /* repo is a checkout; its releases are repo@COMMIT */
    char before[AMY__DEPLOY_COMMIT_SIZE]; /* the commit that it was at */
    /* What has begun, and is to be undone. */
    bool made;         /* releases/{release} may be there */
    bool closed;       /* the site was closed by us */
    bool suspended;    /* so were the queues of rq */
    bool migrating;    /* migrations may have been carried out */
    bool switched;     /* repo may lead to the new one, or be it */
    bool installed;    /* .venv may be changed: that of both, in place */
    bool reloading;    /* workers may have taken it over */
    bool served;       /* they have: from here on there is only forwards */
    char **migrations; /* that it brings, NULL-terminated; or NULL */
};

void amy__deploy_journal_clear(struct amy__deploy_journal *journal);
/* 0, AMY_ELIMIT, AMY_ENOMEM */
int amy__deploy_journal_write(const struct amy__deploy_journal *journal,
                              struct amy__buf *out);
/* 0, AMY_EPARSE, AMY_ENOMEM; cleared by the caller on success. */
int amy__deploy_journal_read(struct amy__span text,
                             struct amy__deploy_journal *ret_journal,
                             struct amy_error *err);

/* A name of a release: letters, digits, '.', '-', '_'; no dot in front. */
bool amy__deploy_is_name(const char *name);
/* Of a link that repo may be: no empty part of it, nothing unprintable. */
bool amy__deploy_is_link(const char *link);
/* "app.0001_initial" */
bool amy__deploy_is_migration(const char *name);

/* Texts of a list, into a NULL-terminated one; false: no memory, or one that
 * `fits` refuses. */
struct amy__json;
bool amy__deploy_texts(const struct amy__json *list, size_t max,
                       bool (*fits)(const char *), char ***ret);
struct amy__json *amy__deploy_texts_json(char *const *texts);

#endif
