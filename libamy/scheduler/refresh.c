/* Beginning a refresh of a test site: two jobs, one of each site, and a socket
 * between them. Neither site's user gets at what the other has. */
/* Not for what the jobs do: backup/lend.c, backup/refresh.c. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "scheduler/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Behind its spec, its events and its directory. */
#define LEND_FD 4

static int
refuse_target(const struct amy__scheduler_site *site, struct amy_error *err)
{
    if (!site->site->stage_test) {
        return amy__err(err, AMY_EDENIED,
                        "'%s' is a production site: only one with 'stage: "
                        "test' is refreshed",
                        site->domain);
    }
    return site->site->database_from == NULL
               ? amy__err(err, AMY_EINVAL,
                          "site.yaml of '%s' does not say which database: "
                          "'database: {from: DATABASE_URL}'",
                          site->domain)
               : 0;
}

/* Another site of this host, or else a place where its host puts what it
 * makes: *ret_lender is NULL then. */
static int
find_lender(struct amy__scheduler_site *site, struct amy__job_spec *spec,
            struct amy__scheduler_site **ret_lender, struct amy_error *err)
{
    const char *name = spec->lender;

    if (name[0] == '\0') {
        return amy__err(err, AMY_EINVAL,
                        "whose backup? --from, or 'refresh: {from: ...}' in "
                        "site.yaml of '%s'",
                        site->domain);
    }
    *ret_lender = amy__scheduler_site_find(site->borrow_scheduler, name);
    if (*ret_lender == site) {
        return amy__err(err, AMY_EINVAL, "'%s' is not refreshed from itself",
                        name);
    }
    if (*ret_lender != NULL && (*ret_lender)->site != NULL) {
        return 0;
    }
    *ret_lender = NULL;
    return amy__scheduler_copies_foreign(site->site, spec)
               ? 0
               : amy__err(err, AMY_ENOTFOUND,
                          "there is no site '%s' on this host, and no "
                          "'refresh: {copy: ...}' in site.yaml of '%s'",
                          name, site->domain);
}

/* As a list in JSON: of who asks, or of site.yaml. */
static int
find_scrub(const struct amy__site *says, const struct amy__json *asked,
           char *buf, size_t size, struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *list = NULL;
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    int rc = 0;

    list =
        amy__json_count(asked) > 0 ? amy__json_copy(asked) : amy__json_array();
    for (size_t i = 0;
         amy__json_count(asked) == 0 && says->refresh_scrub != NULL &&
         says->refresh_scrub[i] != NULL;
         i++) {
        (void)amy__json_add(list, amy__json_text(says->refresh_scrub[i]));
    }
    if (amy__json_count(list) == 0) {
        return amy__err(err, AMY_EINVAL,
                        "no command makes the data harmless: --scrub, or "
                        "'refresh: {scrub: [python, manage.py, scrub]}' in "
                        "site.yaml of '%s'",
                        says->domain);
    }
    amy__buf_init(&text, size - 1);
    rc = amy__json_write(list, 0, &text);
    return rc == 0 && amy__span_copy(amy__buf_span(&text), buf, size)
               ? 0
               : amy__err(err, AMY_ELIMIT, "the scrub command is too long");
}

static int
begin(struct amy__scheduler_site *site, struct amy__job_spec *spec, int *fd,
      struct amy__run **ret_run, struct amy_error *err)
{
    int rc = 0;

    spec->lend_fd = LEND_FD;
    rc = amy__run_start(site, spec, NULL, ret_run, err);
    if (rc == 0) {
        (*ret_run)->lend_fd = amy__take_fd(fd);
    }
    return rc;
}

static int
begin_both(struct amy__scheduler_site *site, struct amy__scheduler_site *lender,
           struct amy__job_spec *spec, struct amy__run **ret_run,
           struct amy_error *err)
{
    struct amy__job_spec lending;
    struct amy__run *other = NULL;
    int ends[2] = {-1, -1};
    int rc = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return amy__err_sys(err, errno, "making a socket");
    }
    amy__scheduler_spec(lender, AMY__JOB_LEND, &lending);
    memcpy(lending.set, spec->set, sizeof(lending.set));
    spec->set[0] = '\0';
    rc = begin(lender, &lending, &ends[0], &other, err);
    if (rc == 0) {
        rc = begin(site, spec, &ends[1], ret_run, err);
        if (rc < 0) {
            amy__run_stop(other);
        }
    }
    amy__close(&ends[0]);
    amy__close(&ends[1]);
    return rc;
}

static int
refuse_busy(const struct amy__scheduler_site *site,
            const struct amy__scheduler_site *lender, struct amy_error *err)
{
    bool lender_busy = lender != NULL && !amy__run_has_room(lender);

    return !lender_busy && amy__run_of_site(site) == NULL
               ? 0
               : amy__err(err, AMY_EBUSY, "'%s' has a job under way: ask again",
                          lender_busy ? lender->domain : site->domain);
}

/* The command runs as the site's user and sees another site's data: who may
 * only have done what root has written into site.yaml names neither. */
static int
refuse_wish(const struct amy__site *says, const struct amy__json *body,
            struct amy_error *err)
{
    const char *from = amy__json_get_text(body, "lender", "");
    bool other_site =
        from[0] != '\0' &&
        (says->refresh_from == NULL || strcmp(from, says->refresh_from) != 0);

    return !other_site && amy__json_count(amy__json_get(body, "scrub")) == 0
               ? 0
               : amy__err(err, AMY_EDENIED,
                          "only root may name %s: 'refresh: {from: ..., scrub: "
                          "[...]}' in site.yaml of '%s' is for everybody who "
                          "may refresh",
                          other_site ? "another site" : "another command",
                          says->domain);
}

/* What is asked for, and what site.yaml says else. */
static int
read_wish(const struct amy__scheduler_site *site, const struct amy__json *body,
          struct amy__job_spec *spec, struct amy_error *err)
{
    const struct amy__site *says = site->site;
    const char *set = amy__json_get_text(body, "set", "");
    const char *from = amy__json_get_text(body, "lender", "");

    if (from[0] == '\0' && says->refresh_from != NULL) {
        from = says->refresh_from;
    }
    amy__scheduler_spec(site, AMY__JOB_REFRESH, spec);
    spec->scrub_ms = says->refresh_timeout_ms;
    if (!amy__span_copy(amy__span_of(set), spec->set, sizeof(spec->set)) ||
        !amy__span_copy(amy__span_of(from), spec->lender,
                        sizeof(spec->lender))) {
        return amy__err(err, AMY_EINVAL, "'%.64s' of '%.64s' is no backup", set,
                        from);
    }
    return find_scrub(says, amy__json_get(body, "scrub"), spec->scrub,
                      sizeof(spec->scrub), err);
}

int
amy__scheduler_refresh(struct amy__scheduler_site *site, bool by_root,
                       const struct amy__json *body, struct amy__run **ret_run,
                       struct amy_error *err)
{
    struct amy__scheduler_site *lender = NULL;
    struct amy__job_spec spec;
    int rc = refuse_target(site, err);

    rc = rc < 0 || by_root ? rc : refuse_wish(site->site, body, err);
    rc = rc < 0 ? rc : read_wish(site, body, &spec, err);
    rc = rc < 0 ? rc : find_lender(site, &spec, &lender, err);
    rc = rc < 0 ? rc : refuse_busy(site, lender, err);
    if (rc < 0 || lender == NULL) {
        return rc < 0 ? rc : amy__run_start(site, &spec, NULL, ret_run, err);
    }
    return begin_both(site, lender, &spec, ret_run, err);
}
