/* What `manage.py showmigrations --plan` prints. */
#include "amy_test.h"

#include "deploy/journal.h"
#include "deploy/pending.h"
#include "site/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
expect(const char *text, const char *wanted)
{
    char all[1024] = "";
    char **pending = NULL;

    assert_int_equal(
        amy__deploy_pending_read(amy__span_of(text), &pending, NULL), 0);
    for (size_t i = 0; pending != NULL && pending[i] != NULL; i++) {
        size_t n = strlen(all);

        (void)snprintf(all + n, sizeof(all) - n, "%s%s", i == 0 ? "" : " ",
                       pending[i]);
    }
    assert_string_equal(all, wanted);
    amy__texts_free(pending);
}

static void
test_only_what_is_not_applied_is_pending(void **state)
{
    (void)state;
    expect("", "");
    expect("[X]  shop.0001_initial\n", "");
    expect("[X]  shop.0001_initial\n[ ]  shop.0002_price\n[ ]  blog.0001_x\n",
           "shop.0002_price blog.0001_x");
    expect("[ ]  shop.0002_price ... (shop.0001_initial)\n", "shop.0002_price");
    expect("[ ]  shop.0002_price", "shop.0002_price");
}

static void
test_chatter_is_passed_over(void **state)
{
    (void)state;
    expect("connecting ...\n[ ] \n[ ]\nhello [ ] x\n  [ ]  y.0001\n[ ]  a.1\n",
           "a.1");
    expect("[ ]  b\x01"
           "ad\n[ ]  a.1\r\n",
           "");
}

static void
test_more_than_a_journal_takes_is_refused(void **state)
{
    size_t size = (AMY__DEPLOY_MIGRATIONS_MAX + 1) * 10 + 1;
    char *text = calloc(1, size);
    char **pending = NULL;

    (void)state;
    assert_non_null(text);
    for (int i = 0; i <= AMY__DEPLOY_MIGRATIONS_MAX; i++) {
        (void)snprintf(text + (size_t)i * 10, 11, "[ ]  %04d\n", i);
    }
    assert_int_equal(
        amy__deploy_pending_read(amy__span_of(text), &pending, NULL),
        AMY_ELIMIT);
    text[(size_t)AMY__DEPLOY_MIGRATIONS_MAX * 10] = '\0';
    assert_int_equal(
        amy__deploy_pending_read(amy__span_of(text), &pending, NULL), 0);
    assert_int_equal(amy__texts_count(pending), AMY__DEPLOY_MIGRATIONS_MAX);
    amy__texts_free(pending);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_not_applied_is_pending),
        cmocka_unit_test(test_chatter_is_passed_over),
        cmocka_unit_test(test_more_than_a_journal_takes_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
