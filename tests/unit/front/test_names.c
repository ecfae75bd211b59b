/* Whose a name is that several sites claim. */
#include "amy_test.h"

#include "front/names.h"

#include <stdio.h>
#include <string.h>

static char a_org[] = "a.org";
static char b_org[] = "b.org";
static char c_org[] = "c.org";
static char www_c[] = "www.c.org";
static char www[] = "www.org";

static char told[256];

static void
note(size_t loser, const char *name, size_t owner, void *user)
{
    size_t n = strlen(told);

    (void)user;
    (void)snprintf(told + n, sizeof(told) - n, "%zu:%s:%zu ", loser, name,
                   owner);
}

static const char *
judge(struct amy__site *a, struct amy__site *b, struct amy__site *c)
{
    struct amy__site *const sites[] = {a, b, c};

    told[0] = '\0';
    assert_int_equal(amy__names_judge(sites, 3, note, NULL, NULL), 0);
    return told;
}

static void
test_first_of_two_has_an_alias_and_a_site_its_own_name(void **state)
{
    char *none[] = {NULL};
    char *own_and_c[] = {a_org, c_org, www, NULL};
    char *only_www[] = {www, NULL};
    char *below_c[] = {www_c, NULL};
    struct amy__site a = {.domain = a_org, .aliases = own_and_c};
    struct amy__site b = {.domain = b_org, .aliases = only_www};
    struct amy__site c = {.domain = c_org, .aliases = none};

    (void)state;
    assert_string_equal(judge(&a, &b, &c), "0:c.org:2 1:www.org:0 ");
    a.aliases = none;
    assert_string_equal(judge(&a, &b, &c), "");
    c.aliases = only_www;
    assert_string_equal(judge(&a, &b, &c), "2:www.org:1 ");
    /* Beneath its own name an alias is a site's before any other's. */
    a.aliases = below_c;
    c.aliases = below_c;
    assert_string_equal(judge(&a, &b, &c), "0:www.c.org:2 ");
    assert_int_equal(amy__names_judge(NULL, 0, note, NULL, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_first_of_two_has_an_alias_and_a_site_its_own_name),
    };

    return cmocka_run_group_tests_name("front/names", tests, NULL, NULL);
}
