/* Certificates as the master keeps them, over real directories and a clock that
 * moves by hand. */
#include "amy_test.h"

#include "core/clock.h"
#include "core/files.h"
#include "fail_alloc.h"
#include "fake_loop.h"
#include "front/certs.h"
#include "front/lineage.h"
#include "test_cert.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S 86400
#define SITE "example.org"
#define BOTH SITE ",www." SITE

struct fixture {
    char root[32];
    char live[48];
    struct amy__certs *certs;
    unsigned changes;
    unsigned files; /* so many in archive/ */
    char log[4096];
    struct test_cert pem;
    struct test_cert other;
};

/* ---- directories ---- */

static void
on_change(void *user)
{
    struct fixture *f = user;

    f->changes++;
}

static void
on_line(enum amy_log_level level, const char *line, void *user)
{
    struct fixture *f = user;
    size_t used = strlen(f->log);

    (void)snprintf(f->log + used, sizeof(f->log) - used, "%d %s\n", (int)level,
                   line);
}

/* All that was logged since it was last asked has this; "": is empty. */
static void
assert_logged(struct fixture *f, const char *text)
{
    if (text[0] == '\0' ? f->log[0] != '\0' : strstr(f->log, text) == NULL) {
        fail_msg("'%s' is not what was logged: '%s'", text, f->log);
    }
    f->log[0] = '\0';
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void
make_dir(const struct fixture *f, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", f->live, name);
    assert_int_equal(amy__make_dirs(path, 0755, NULL), 0);
}

static void
write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

/* As certbot does: a new file in archive/, and the link replaced. */
static void
put(struct fixture *f, const char *name, const char *file, const char *text)
{
    char target[128];
    char link[128];

    (void)snprintf(target, sizeof(target), "%s/archive-%u", f->root,
                   ++f->files);
    write_file(target, text);
    make_dir(f, name);
    (void)snprintf(link, sizeof(link), "%s/%s/%s", f->live, name, file);
    (void)unlink(link);
    assert_int_equal(symlink(target, link), 0);
}

static void
put_pair(struct fixture *f, const char *name, const struct test_cert *pem)
{
    put(f, name, "privkey.pem", pem->key);
    put(f, name, "fullchain.pem", pem->chain);
}

/* Valid by the fake clock from so many seconds from now on. */
static void
make(struct test_cert *pem, const char *names, int from_s, int for_s)
{
    int64_t behind_ms =
        amy__wall_ms(fake_loop_clock()) - amy__wall_ms(amy_clock_system());

    test_cert_make(pem, names, (int)(behind_ms / 1000) + from_s, for_s);
}

/* ---- the object ---- */

static void
read_yaml(struct fixture *f, const char *yaml)
{
    char text[512];
    struct amy__site *site = NULL;

    (void)snprintf(text, sizeof(text), "site: " SITE "\nuser: nobody\n%s",
                   yaml);
    assert_int_equal(amy__site_parse(amy__span_of(text), "site.yaml", NULL,
                                     NULL, NULL, &site, NULL),
                     0);
    assert_int_equal(amy__certs_read(f->certs, site, NULL), 0);
    amy__site_unref(site);
}

static void
open_certs(struct fixture *f)
{
    const struct amy_log log = {
        .struct_size = sizeof(log), .fn = on_line, .user = f};
    const struct amy__certs_options opts = {.base = (void *)f, /* unused */
                                            .live = f->live,
                                            .borrow_clock = fake_loop_clock(),
                                            .log = &log,
                                            .on_change = on_change,
                                            .user = f};

    assert_int_equal(amy__certs_create(&opts, &f->certs, NULL), 0);
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    (void)snprintf(f->root, sizeof(f->root), "/tmp/amy-certs-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    (void)snprintf(f->live, sizeof(f->live), "%s/live", f->root);
    make_dir(f, "");
    open_certs(f);
    make(&f->pem, BOTH, -60, DAY_S);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy__certs_free(f->certs);
    assert_int_equal(fake_loop_left(), 0);
    (void)nftw(f->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

/* One of the site's; all empty past the last one. */
static struct amy__cert_view
view_of(const struct fixture *f, size_t i)
{
    struct amy__cert_view view = {.name = "", .error = "", .file = ""};

    (void)amy__certs_at(f->certs, SITE, i, &view);
    return view;
}

static const char *
error_of(const struct fixture *f)
{
    return view_of(f, 0).error;
}

/* Is it the certificate that the site is served with? */
static bool
serves(const struct fixture *f, const struct test_cert *pem)
{
    struct amy__tls_cert *served[AMY__SITE_CERTS_MAX];
    size_t count = amy__certs_served(f->certs, SITE, served);
    struct amy__tls_cert *cert = test_cert_read(pem);
    struct amy__tls_cert_info wanted;
    bool found = false;

    amy__tls_cert_info(cert, &wanted);
    for (size_t i = 0; i < count; i++) {
        struct amy__tls_cert_info info;

        amy__tls_cert_info(served[i], &info);
        found = found || strcmp(info.fingerprint, wanted.fingerprint) == 0;
    }
    amy__tls_cert_unref(cert);
    return found;
}

/* The site is served with pem; other is the next one. */
static void
begin(struct fixture *f)
{
    put_pair(f, SITE, &f->pem);
    read_yaml(f, "");
    make(&f->other, BOTH, -60, 2 * DAY_S);
}

/* ---- a pair that is good ---- */

static void
test_pair_is_found_by_the_sites_name(void **state)
{
    struct fixture *f = *state;
    struct amy__bundle_site one = {.name = NULL};

    put_pair(f, SITE, &f->pem);
    read_yaml(f, "");
    assert_string_equal(error_of(f), "");
    assert_true(serves(f, &f->pem));
    assert_int_equal(amy__certs_fill(f->certs, SITE, &one, NULL), 0);
    assert_int_equal(one.cert_count, 1);
    assert_true(one.certs[0].chain_fd >= 0 && one.certs[0].key_fd >= 0);
    /* Again: instead of those that are there. */
    assert_int_equal(amy__certs_fill(f->certs, SITE, &one, NULL), 0);
    assert_int_equal(one.cert_count, 1);
    amy__bundle_certs_clear(&one);
    assert_int_equal(f->changes, 0); /* whoever asks knows */
}

static void
test_replaced_pair_is_taken_at_once(void **state)
{
    struct fixture *f = *state;

    begin(f);
    (void)fake_loop_poll();
    assert_int_equal(f->changes, 0);
    put_pair(f, SITE, &f->other);
    (void)fake_loop_poll();
    assert_int_equal(f->changes, 1);
    assert_true(serves(f, &f->other));
    assert_false(serves(f, &f->pem));
    assert_string_equal(error_of(f), "");
    /* The same bytes once more are no change. */
    put_pair(f, SITE, &f->other);
    (void)fake_loop_poll();
    assert_int_equal(f->changes, 1);
}

/* certbot replaces the key's link before the chain's. */
static void
test_pair_between_two_links_is_no_alarm(void **state)
{
    struct fixture *f = *state;

    begin(f);
    put(f, SITE, "privkey.pem", f->other.key);
    (void)fake_loop_poll();
    fake_loop_advance(AMY__LINEAGE_SETTLE_MS - 200);
    assert_string_equal(error_of(f), "");
    assert_int_equal(view_of(f, 0).refused, 0);
    assert_true(serves(f, &f->pem));
    put(f, SITE, "fullchain.pem", f->other.chain);
    (void)fake_loop_poll();
    assert_true(serves(f, &f->other));
    fake_loop_advance(60000);
    assert_int_equal(view_of(f, 0).refused, 0);
    assert_int_equal(f->changes, 1);
}

/* A refusal that stands is no reason to blame the next pair between its links.
 */
static void
test_refused_pair_is_replaced_without_another_alarm(void **state)
{
    struct fixture *f = *state;

    begin(f);
    put(f, SITE, "privkey.pem", f->other.key);
    (void)fake_loop_poll();
    fake_loop_advance(AMY__LINEAGE_SETTLE_MS + 200);
    assert_int_equal(view_of(f, 0).refused, 1);
    put(f, SITE, "privkey.pem", "half a file\n");
    (void)fake_loop_poll();
    fake_loop_advance(AMY__LINEAGE_SETTLE_MS - 200);
    assert_int_equal(view_of(f, 0).refused, 1);
    put(f, SITE, "privkey.pem", f->other.key);
    put(f, SITE, "fullchain.pem", f->other.chain);
    (void)fake_loop_poll();
    assert_string_equal(error_of(f), "");
    assert_true(serves(f, &f->other));
    assert_int_equal(view_of(f, 0).refused, 1);
}

static void
test_pair_that_stays_between_two_links_is_one(void **state)
{
    struct fixture *f = *state;

    begin(f);
    put(f, SITE, "privkey.pem", f->other.key);
    (void)fake_loop_poll();
    fake_loop_advance(AMY__LINEAGE_SETTLE_MS + 200);
    assert_non_null(strstr(error_of(f), "privkey.pem: the key is not that"));
    assert_int_equal(view_of(f, 0).refused, 1);
    assert_true(serves(f, &f->pem));
    fake_loop_advance(60000);
    assert_int_equal(view_of(f, 0).refused, 1); /* told once */
    put(f, SITE, "fullchain.pem", f->other.chain);
    (void)fake_loop_poll();
    assert_string_equal(error_of(f), "");
    assert_true(serves(f, &f->other));
}

/* Where no event comes: a file that a link leads to, written in place. */
static void
test_slow_look_sees_what_the_watch_does_not(void **state)
{
    struct fixture *f = *state;
    char path[128];

    begin(f);
    (void)fake_loop_poll();
    (void)snprintf(path, sizeof(path), "%s/archive-1", f->root);
    write_file(path, f->other.key);
    (void)snprintf(path, sizeof(path), "%s/archive-2", f->root);
    write_file(path, f->other.chain);
    assert_int_equal(fake_loop_poll(), 0);
    fake_loop_advance(AMY__CERTS_LOOK_MS + 1);
    assert_true(serves(f, &f->other));
    assert_int_equal(f->changes, 1);
}

static void
test_first_issue_needs_neither_live_nor_directory(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rmdir(f->live), 0);
    (void)fake_loop_poll();
    read_yaml(f, "");
    assert_non_null(strstr(error_of(f), SITE "/fullchain.pem"));
    assert_null(view_of(f, 0).borrow_cert);
    assert_logged(f, "3 certificate not usable: ");
    put_pair(f, SITE, &f->pem);
    fake_loop_advance(1100); /* nothing is there to be watched */
    assert_true(serves(f, &f->pem));
    assert_string_equal(error_of(f), "");
    assert_int_equal(f->changes, 1);
}

static void
test_first_issue_below_live_is_seen_at_once(void **state)
{
    struct fixture *f = *state;

    read_yaml(f, "");
    put(f, SITE, "privkey.pem", f->pem.key);
    (void)fake_loop_poll();
    put(f, SITE, "fullchain.pem", f->pem.chain);
    (void)fake_loop_poll();
    assert_true(serves(f, &f->pem));
    assert_string_equal(error_of(f), "");
    assert_int_equal(f->changes, 1);
}

/* ---- a pair that is not ---- */

struct fault {
    const char *names;
    int from_s;
    int for_s;
    const char *chain; /* instead of its own; "-": none, "/": a directory */
    const char *key;
    const char *says;
};

static const struct fault faults[] = {
    {BOTH, -60, 30, NULL, NULL, "fullchain.pem: the certificate has expired"},
    {BOTH, 60, DAY_S, NULL, NULL, "fullchain.pem: the certificate is not yet"},
    {"other.org", -60, DAY_S, NULL, NULL, "does not cover '" SITE "'"},
    {"www." SITE, -60, DAY_S, NULL, NULL, "does not cover '" SITE "'"},
    {BOTH, -60, DAY_S, "garbage", NULL, "fullchain.pem: no certificate in"},
    {BOTH, -60, DAY_S, "", NULL, "fullchain.pem: no certificate in"},
    {BOTH, -60, DAY_S, "-", NULL, "fullchain.pem': No such file"},
    {BOTH, -60, DAY_S, "/", NULL, "fullchain.pem' is not a regular file"},
    {BOTH, -60, DAY_S, NULL, "garbage", "privkey.pem: no readable private key"},
    {BOTH, -60, DAY_S, NULL, "", "privkey.pem: no readable private key"},
    {BOTH, -60, DAY_S, NULL, "-", "privkey.pem': No such file"},
    {BOTH, -60, DAY_S, NULL, "/", "privkey.pem' is not a regular file"},
};

static void
put_or_not(struct fixture *f, const char *file, const char *own,
           const char *instead)
{
    char path[128];

    put(f, SITE, file, instead == NULL ? own : instead);
    if (instead == NULL || (instead[0] != '-' && instead[0] != '/')) {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/%s/%s", f->live, SITE, file);
    assert_int_equal(unlink(path), 0);
    if (instead[0] == '/') {
        assert_int_equal(mkdir(path, 0700), 0);
        fake_loop_advance(1);
    }
}

static void
mend(struct fixture *f, const char *file)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s/%s", f->live, SITE, file);
    (void)rmdir(path);
}

static void
test_fault_is_told_with_its_file_and_the_old_pair_kept(void **state)
{
    struct fixture *f = *state;

    put_pair(f, SITE, &f->pem);
    read_yaml(f, "aliases: [www." SITE "]\n");
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        const struct fault *fault = &faults[i];
        struct amy__cert_view view;
        int64_t before_ms = amy__wall_ms(fake_loop_clock());

        make(&f->other, fault->names, fault->from_s, fault->for_s);
        put_or_not(f, "privkey.pem", f->other.key, fault->key);
        put_or_not(f, "fullchain.pem", f->other.chain, fault->chain);
        (void)fake_loop_poll();
        fake_loop_advance(AMY__LINEAGE_SETTLE_MS + 200);
        view = view_of(f, 0);
        if (strstr(view.error, fault->says) == NULL) {
            fail_msg("'%s' is not in '%s'", fault->says, view.error);
        }
        assert_non_null(strstr(view.error, view.file));
        assert_int_equal(view.refused, i + 1);
        assert_true(view.error_wall_ms >= before_ms);
        assert_true(serves(f, &f->pem));
        assert_int_equal(f->changes, 0);
        mend(f, "privkey.pem");
        mend(f, "fullchain.pem");
        put_pair(f, SITE, &f->pem);
        (void)fake_loop_poll();
        assert_string_equal(error_of(f), "");
    }
    assert_int_equal(f->changes, 0);
}

static void
test_key_of_the_former_certificate_is_refused_by_a_reload_at_once(void **state)
{
    struct fixture *f = *state;

    put_pair(f, SITE, &f->pem);
    read_yaml(f, "");
    make(&f->other, SITE, -60, DAY_S);
    put(f, SITE, "fullchain.pem", f->other.chain);
    read_yaml(f, "");
    assert_non_null(strstr(error_of(f), "the key is not that"));
    assert_true(serves(f, &f->pem));
}

static void
test_expired_one_is_better_than_none_but_not_than_a_good_one(void **state)
{
    struct fixture *f = *state;

    make(&f->other, SITE, -60, 30);
    put_pair(f, SITE, &f->other);
    read_yaml(f, "");
    assert_true(serves(f, &f->other));
    assert_non_null(strstr(error_of(f), "has expired"));
    assert_logged(f, "3 certificate not good, but served: ");
    put_pair(f, SITE, &f->pem);
    (void)fake_loop_poll();
    assert_true(serves(f, &f->pem));
    assert_string_equal(error_of(f), "");
    assert_logged(f, "certificate is well again");
    put_pair(f, SITE, &f->other);
    (void)fake_loop_poll();
    assert_true(serves(f, &f->pem));
    assert_non_null(strstr(error_of(f), "has expired"));
    assert_logged(f, "3 certificate refused, the old one is served: ");
}

static void
test_pair_becomes_good_as_time_goes_on(void **state)
{
    struct fixture *f = *state;

    put_pair(f, SITE, &f->pem);
    read_yaml(f, "");
    make(&f->other, BOTH, 60, DAY_S);
    put_pair(f, SITE, &f->other);
    (void)fake_loop_poll();
    assert_non_null(strstr(error_of(f), "not yet valid"));
    assert_true(serves(f, &f->pem));
    fake_loop_advance(70000);
    assert_true(serves(f, &f->other));
    assert_string_equal(error_of(f), "");
}

static void
test_served_one_that_expires_is_told(void **state)
{
    struct fixture *f = *state;

    make(&f->other, SITE, -60, 90);
    put_pair(f, SITE, &f->other);
    read_yaml(f, "");
    assert_string_equal(error_of(f), "");
    f->log[0] = '\0';
    fake_loop_advance(40000);
    assert_non_null(strstr(error_of(f), "has expired"));
    assert_logged(f, "3 certificate not good, but served: ");
    assert_true(serves(f, &f->other));
    assert_int_equal(f->changes, 0);
}

/* ---- several ---- */

static void
test_auto_finds_both_types_and_what_an_alias_needs(void **state)
{
    struct fixture *f = *state;
    struct test_cert rsa;

    put_pair(f, SITE, &f->pem);
    read_yaml(f, "aliases: [www." SITE ", other.org]\n");
    assert_string_equal(view_of(f, 0).name, SITE);
    assert_string_equal(view_of(f, 1).name, "");
    make(&f->other, "other.org", -60, DAY_S);
    put_pair(f, "other.org", &f->other);
    put_pair(f, "www." SITE, &f->other); /* nobody needs it */
    (void)fake_loop_poll();
    assert_string_equal(view_of(f, 1).name, "other.org");
    assert_true(serves(f, &f->other));
    assert_int_equal(f->changes, 1);
    make(&rsa, SITE, -60, DAY_S);
    put_pair(f, SITE "-rsa", &rsa);
    (void)fake_loop_poll();
    assert_true(serves(f, &rsa) && serves(f, &f->pem));
    assert_string_equal(view_of(f, 2).name, SITE "-rsa");
    assert_string_equal(view_of(f, 3).name, "");
    assert_int_equal(f->changes, 2);
}

static void
test_name_that_another_covers_may_be_lost(void **state)
{
    struct fixture *f = *state;
    struct test_cert narrow;

    put_pair(f, SITE, &f->pem);
    make(&f->other, "*." SITE, -60, DAY_S);
    put_pair(f, "wild", &f->other);
    read_yaml(f, "aliases: [www." SITE "]\n"
                 "tls: {certificates: [{certificate: " SITE "}, "
                 "{certificate: wild}]}\n");
    assert_true(serves(f, &f->pem) && serves(f, &f->other));
    make(&narrow, SITE, -60, DAY_S);
    put_pair(f, SITE, &narrow);
    (void)fake_loop_poll();
    assert_string_equal(error_of(f), "");
    assert_true(serves(f, &narrow));
}

/* Which of the site's names none of its certificates covers. */
static void
assert_uncovered(const struct fixture *f, const char *wanted)
{
    char names[256] = "";
    const char *name = NULL;
    size_t at = 0;

    while ((name = amy__certs_uncovered(f->certs, SITE, &at)) != NULL) {
        size_t used = strlen(names);

        (void)snprintf(names + used, sizeof(names) - used, "%s,", name);
    }
    assert_string_equal(names, wanted);
}

static void
test_names_that_nothing_covers_are_told(void **state)
{
    struct fixture *f = *state;

    read_yaml(f, "aliases: [www." SITE ", a.org, b.org]\n");
    assert_uncovered(f, ""); /* there is none at all: told elsewhere */
    assert_null(strstr(f->log, "covers"));
    put_pair(f, SITE, &f->pem);
    (void)fake_loop_poll();
    assert_uncovered(f, "a.org,b.org,");
    assert_logged(f, "4 no certificate of the site covers 'a.org' site=" SITE
                     " others=1");
    fake_loop_advance(60000);
    assert_logged(f, ""); /* once */
    make(&f->other, "a.org", -60, DAY_S);
    put_pair(f, "a.org", &f->other);
    (void)fake_loop_poll();
    assert_uncovered(f, "b.org,");
    assert_logged(f, "covers 'b.org' site=" SITE " others=0");
    read_yaml(f, "aliases: [www." SITE "]\n");
    assert_uncovered(f, "");
    assert_logged(f, "");
}

static void
test_list_that_changes_keeps_what_stays(void **state)
{
    struct fixture *f = *state;
    struct amy__cert_view view;
    char yaml[256];

    put_pair(f, SITE, &f->pem);
    make(&f->other, SITE, -60, DAY_S);
    put_pair(f, "second", &f->other);
    read_yaml(f, "tls: {certificates: [{certificate: second}, "
                 "{certificate: " SITE "}]}\n");
    view = view_of(f, 1);
    assert_string_equal(view.name, SITE);
    (void)snprintf(yaml, sizeof(yaml),
                   "tls: {certificate: %s/second/fullchain.pem, "
                   "key: %s/second/privkey.pem}\n",
                   f->live, f->live);
    read_yaml(f, yaml);
    assert_true(serves(f, &f->other));
    assert_false(serves(f, &f->pem));
    read_yaml(f, "");
    assert_true(serves(f, &f->pem));
    assert_false(serves(f, &f->other));
    amy__certs_forget(f->certs, SITE);
    assert_false(serves(f, &f->pem));
}

static void
test_second_one_that_was_deleted_goes_with_a_reload(void **state)
{
    struct fixture *f = *state;
    char path[128];

    put_pair(f, SITE, &f->pem);
    make(&f->other, SITE, -60, DAY_S);
    put_pair(f, SITE "-rsa", &f->other);
    read_yaml(f, "");
    assert_true(serves(f, &f->other));
    (void)snprintf(path, sizeof(path), "%s/" SITE "-rsa", f->live);
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    (void)fake_loop_poll();
    fake_loop_advance(AMY__LINEAGE_SETTLE_MS + 200);
    assert_true(serves(f, &f->other));
    assert_non_null(strstr(view_of(f, 1).error, "No such file"));
    read_yaml(f, "");
    assert_false(serves(f, &f->other));
    assert_true(serves(f, &f->pem));
    assert_string_equal(view_of(f, 1).name, "");
}

/* ---- memory ---- */

static void
test_memory_that_runs_out_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    const char text[] = "site: " SITE "\nuser: nobody\n";
    struct amy__site *site = NULL;
    bool hit = true;

    put_pair(f, SITE, &f->pem);
    amy__certs_free(f->certs);
    f->certs = NULL;
    assert_int_equal(amy__site_parse(AMY_SPAN(text), "site.yaml", NULL, NULL,
                                     NULL, &site, NULL),
                     0);
    for (int n = 1; hit; n++) {
        const struct amy__certs_options opts = {
            .live = f->live, .borrow_clock = fake_loop_clock()};
        int live = fail_alloc_live();
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy__certs_create(&opts, &f->certs, NULL);
        if (rc == 0) {
            rc = amy__certs_read(f->certs, site, NULL);
        }
        hit = fail_alloc_hit();
        assert_true(rc == 0 || (hit && rc == AMY_ENOMEM));
        amy__certs_free(f->certs);
        f->certs = NULL;
        assert_int_equal(fail_alloc_live(), live);
    }
    amy__site_unref(site);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pair_is_found_by_the_sites_name),
        TEST(test_replaced_pair_is_taken_at_once),
        TEST(test_pair_between_two_links_is_no_alarm),
        TEST(test_pair_that_stays_between_two_links_is_one),
        TEST(test_refused_pair_is_replaced_without_another_alarm),
        TEST(test_slow_look_sees_what_the_watch_does_not),
        TEST(test_first_issue_needs_neither_live_nor_directory),
        TEST(test_first_issue_below_live_is_seen_at_once),
        TEST(test_fault_is_told_with_its_file_and_the_old_pair_kept),
        TEST(test_key_of_the_former_certificate_is_refused_by_a_reload_at_once),
        TEST(test_expired_one_is_better_than_none_but_not_than_a_good_one),
        TEST(test_pair_becomes_good_as_time_goes_on),
        TEST(test_served_one_that_expires_is_told),
        TEST(test_auto_finds_both_types_and_what_an_alias_needs),
        TEST(test_name_that_another_covers_may_be_lost),
        TEST(test_names_that_nothing_covers_are_told),
        TEST(test_list_that_changes_keeps_what_stays),
        TEST(test_second_one_that_was_deleted_goes_with_a_reload),
        TEST(test_memory_that_runs_out_leaves_nothing_behind),
    };

    return cmocka_run_group_tests_name("front/certs", tests, NULL, NULL);
}
