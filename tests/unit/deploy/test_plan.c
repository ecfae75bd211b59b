/* Which steps there are, and what is done about a deployment that ended half
 * way. */
#include "amy_test.h"

#include "deploy/plan.h"

#include <stdio.h>
#include <string.h>

#define HEAD "site: example.org\nuser: amy-example\n"
#define FULL HEAD "database: {from: DATABASE_URL}\nredis: {from: REDIS_URL}\n"

static struct amy__site *
parse(const char *yaml)
{
    struct amy__site *site = NULL;

    assert_int_equal(amy__site_parse(amy__span_of(yaml), "site.yaml", NULL,
                                     NULL, NULL, &site, NULL),
                     0);
    return site;
}

static const char *
names_of(const struct amy__deploy_plan *plan)
{
    static char all[2048];

    all[0] = '\0';
    for (size_t i = 0; i < plan->count; i++) {
        size_t n = strlen(all);

        (void)snprintf(all + n, sizeof(all) - n, "%s%s", i == 0 ? "" : ", ",
                       plan->steps[i].name);
    }
    return all;
}

static void
expect_plan(const char *yaml, enum amy__deploy_kind kind, const char *names)
{
    struct amy__site *site = parse(yaml);
    struct amy__deploy_plan plan;

    amy__deploy_plan_make(site, kind, false, &plan);
    assert_string_equal(names_of(&plan), names);
    amy__site_unref(site);
}

static void
test_a_plain_site_has_the_steps_of_django(void **state)
{
    (void)state;
    expect_plan(HEAD, AMY__DEPLOY_RELEASE,
                "checks, fetch, environment, variables, collectstatic, "
                "pending, close, migrate, switch, reload, record, open, clean");
    expect_plan(FULL "deploy: {rq: {suspend: true}}\n", AMY__DEPLOY_RELEASE,
                "checks, fetch, environment, variables, collectstatic, "
                "pending, backup, suspend, close, migrate, switch, reload, "
                "record, resume, open, clean");
    expect_plan(FULL "backup: {before_deploy: false}\ndeploy: {gate: none}\n",
                AMY__DEPLOY_RELEASE,
                "checks, fetch, environment, variables, collectstatic, "
                "pending, migrate, switch, reload, record, clean");
}

static void
test_hooks_and_steps_of_site_yaml_have_their_places(void **state)
{
    (void)state;
    expect_plan(HEAD "deploy: {before: [{run: [check]}], "
                     "after: [{name: warm, run: [curl]}]}\n",
                AMY__DEPLOY_RELEASE,
                "checks, fetch, environment, variables, check, collectstatic, "
                "pending, close, migrate, switch, reload, record, open, warm, "
                "clean");
    expect_plan(HEAD "deploy: {before: [{run: [check]}], steps: [{name: npm, "
                     "run: [npm, ci]}, {name: environment}, {name: build, run: "
                     "[make]}, {name: migrate}, {name: index, run: [x]}]}\n",
                AMY__DEPLOY_RELEASE,
                "checks, fetch, npm, environment, variables, check, build, "
                "pending, close, migrate, index, switch, reload, record, open, "
                "clean");
    /* Of another kind of site: nobody knows what its migrate does. */
    expect_plan(FULL "deploy: {gate: closed, steps: [{name: migrate, run: "
                     "[mix, ecto.migrate]}]}\n",
                AMY__DEPLOY_RELEASE,
                "checks, fetch, variables, backup, close, migrate, switch, "
                "reload, record, open, clean");
    expect_plan(HEAD "deploy: {steps: [{name: make, run: [make]}]}\n",
                AMY__DEPLOY_RELEASE,
                "checks, fetch, variables, make, switch, reload, record, "
                "clean");
}

static void
test_to_go_back_is_short(void **state)
{
    (void)state;
    expect_plan(FULL "deploy: {rq: {suspend: true}, after: [{run: [x]}]}\n",
                AMY__DEPLOY_ROLLBACK, "checks, switch, reload, record");
}

static void
test_in_place_the_code_comes_first(void **state)
{
    static const struct {
        const char *yaml;
        enum amy__deploy_kind kind;
        const char *names;
    } cases[] = {
        {HEAD, AMY__DEPLOY_RELEASE,
         "checks, fetch, checkout, environment, variables, collectstatic, "
         "pending, close, migrate, reload, record, open"},
        {HEAD, AMY__DEPLOY_ROLLBACK,
         "checks, checkout, environment, reload, record"},
        {HEAD "deploy: {steps: [{name: x, run: [x]}, {name: environment, run: "
              "[y]}]}\n",
         AMY__DEPLOY_ROLLBACK, "checks, checkout, environment, reload, record"},
        {HEAD "deploy: {steps: [{name: x, run: [x]}]}\n", AMY__DEPLOY_ROLLBACK,
         "checks, checkout, reload, record"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__site *site = parse(cases[i].yaml);
        struct amy__deploy_plan plan;

        amy__deploy_plan_make(site, cases[i].kind, true, &plan);
        assert_string_equal(names_of(&plan), cases[i].names);
        amy__site_unref(site);
    }
}

static void
test_deadlines_are_the_steps_or_those_of_site_yaml(void **state)
{
    struct amy__site *site =
        parse(HEAD "deploy: {steps: [{name: environment, timeout: 7m}, {name: "
                   "migrate}, {name: x, run: [x], user: site}]}\n");
    struct amy__deploy_plan plan;

    (void)state;
    amy__deploy_plan_make(site, AMY__DEPLOY_RELEASE, false, &plan);
    for (size_t i = 0; i < plan.count; i++) {
        const struct amy__deploy_step *step = &plan.steps[i];

        assert_true(step->timeout_ms > 0);
        assert_true(amy__deploy_step_says(step)[0] != '\0');
        if (strcmp(step->name, "environment") == 0) {
            assert_int_equal(step->timeout_ms, 420000);
            assert_string_equal(amy__deploy_step_who(step), "deployer");
        } else if (strcmp(step->name, "migrate") == 0) {
            assert_int_equal(step->timeout_ms, 3600000);
            assert_non_null(strstr(amy__deploy_step_undo(step), "NOT undone"));
        } else if (strcmp(step->name, "x") == 0) {
            assert_string_equal(amy__deploy_step_who(step), "site");
        }
    }
    amy__site_unref(site);
}

static void
test_what_has_begun_is_undone_backwards(void **state)
{
    static const struct {
        struct amy__deploy_journal journal;
        const char *names;
    } cases[] = {
        {{.made = false}, "kill"},
        {{.made = true}, "kill, remove"},
        {{.made = true, .migrating = true}, "kill, remove"},
        {{.made = true, .closed = true, .suspended = true},
         "kill, resume, open, remove"},
        {{.made = true, .closed = true, .switched = true},
         "kill, switch back, open, remove"},
        {{.made = true,
          .closed = true,
          .switched = true,
          .reloading = true,
          .previous = "releases/old"},
         "kill, switch back, reload back, open, remove"},
        {{.made = true, .switched = true, .reloading = true}, /* the first */
         "kill, switch back, remove"},
        {{.made = true,
          .closed = true,
          .suspended = true,
          .switched = true,
          .reloading = true,
          .served = true},
         "kill, record, resume, open"},
        {{.switched = true, .reloading = true, .served = true}, "kill, record"},
        {{.switched = true}, "kill, switch back"},
        {{.switched = true, .in_place = true}, "kill, checkout back"},
        {{.switched = true,
          .in_place = true,
          .installed = true,
          .reloading = true,
          .previous = "repo@0123"},
         "kill, checkout back, environment back, reload back"},
        {{.switched = true,
          .in_place = true,
          .installed = true,
          .reloading = true,
          .served = true},
         "kill, record"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__deploy_plan plan;

        amy__deploy_plan_mend(&cases[i].journal, false, &plan);
        assert_string_equal(names_of(&plan), cases[i].names);
    }
}

/* amy-workers has perhaps carried the reload on. */
static void
test_after_a_kill_there_is_a_look_first(void **state)
{
    static const struct {
        struct amy__deploy_journal journal;
        const char *names;
    } cases[] = {
        {{.switched = true, .reloading = true, .previous = "releases/old"},
         "kill, look, switch back, reload back"},
        {{.switched = true, .previous = "releases/old"}, "kill, switch back"},
        {{.switched = true, .reloading = true, .served = true}, "kill, record"},
        {{.switched = true,
          .reloading = true,
          .in_place = true,
          .previous = "repo@0123"},
         "kill, checkout back, reload back"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__deploy_plan plan;

        amy__deploy_plan_mend(&cases[i].journal, true, &plan);
        assert_string_equal(names_of(&plan), cases[i].names);
    }
}

static void
expect_closes(const char *deploy, int pending, bool closes)
{
    char yaml[256];
    struct amy__site *site = NULL;

    (void)snprintf(yaml, sizeof(yaml), "%sdeploy: {%s}\n", HEAD, deploy);
    site = parse(yaml);
    assert_int_equal(amy__deploy_closes(site, pending), closes);
    amy__site_unref(site);
}

static void
test_it_closes_for_what_is_pending_unless_told_otherwise(void **state)
{
    (void)state;
    expect_closes("keep: 3", 0, false);
    expect_closes("keep: 3", 1, true);
    expect_closes("gate: auto", 2, true);
    expect_closes("gate: none", 2, false);
    expect_closes("gate: closed", 0, true);
    expect_closes("steps: [{name: make, run: [make]}]", -1, false);
    expect_closes("steps: [{name: migrate, run: [rake]}]", -1, true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_site_has_the_steps_of_django),
        cmocka_unit_test(test_hooks_and_steps_of_site_yaml_have_their_places),
        cmocka_unit_test(test_to_go_back_is_short),
        cmocka_unit_test(test_in_place_the_code_comes_first),
        cmocka_unit_test(test_deadlines_are_the_steps_or_those_of_site_yaml),
        cmocka_unit_test(test_what_has_begun_is_undone_backwards),
        cmocka_unit_test(test_after_a_kill_there_is_a_look_first),
        cmocka_unit_test(
            test_it_closes_for_what_is_pending_unless_told_otherwise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
