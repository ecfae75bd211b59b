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

static int
find_lender(struct amy__scheduler_site *site, const char *name,
            struct amy__scheduler_site **ret, struct amy_error *err)
{
    if (name == NULL || name[0] == '\0') {
        return amy__err(err, AMY_EINVAL,
                        "whose backup? --from, or 'refresh: {from: ...}' in "
                        "site.yaml of '%s'",
                        site->domain);
    }
    *ret = amy__scheduler_site_find(site->borrow_scheduler, name);
    if (*ret == NULL || (*ret)->site == NULL) {
        return amy__err(err, AMY_ENOTFOUND, "there is no site '%s'", name);
    }
    return *ret == site ? amy__err(err, AMY_EINVAL,
                                   "'%s' is not refreshed from itself", name)
                        : 0;
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

int
amy__scheduler_refresh(struct amy__scheduler_site *site,
                       const struct amy__json *body, struct amy__run **ret_run,
                       struct amy_error *err)
{
    struct amy__scheduler_site *lender = NULL;
    struct amy__job_spec spec;
    const char *set = amy__json_get_text(body, "set", "");
    const char *from = amy__json_get_text(body, "lender", "");
    int rc = refuse_target(site, err);

    if (rc == 0) {
        rc =
            find_lender(site, from[0] != '\0' ? from : site->site->refresh_from,
                        &lender, err);
    }
    if (rc < 0) {
        return rc;
    }
    amy__scheduler_spec(site, AMY__JOB_REFRESH, &spec);
    if (!amy__span_copy(amy__span_of(set), spec.set, sizeof(spec.set))) {
        return amy__err(err, AMY_EINVAL, "'%.64s' is no name of a backup", set);
    }
    (void)snprintf(spec.lender, sizeof(spec.lender), "%s", lender->domain);
    spec.scrub_ms = site->site->refresh_timeout_ms;
    rc = find_scrub(site->site, amy__json_get(body, "scrub"), spec.scrub,
                    sizeof(spec.scrub), err);
    if (rc == 0 &&
        (!amy__run_has_room(lender) || amy__run_of_site(site) != NULL)) {
        rc =
            amy__err(err, AMY_EBUSY, "'%s' has a job under way: ask again",
                     amy__run_has_room(lender) ? site->domain : lender->domain);
    }
    return rc < 0 ? rc : begin_both(site, lender, &spec, ret_run, err);
}
