#include "amy_test.h"

#include "doctor/judge.h"
#include "recorded.h"

#define MIB ((uint64_t)1024 * 1024)
#define GIB (1024 * MIB)

static void
test_clock(void **state)
{
    struct amy__clock_facts facts = {.is_known = false};

    (void)state;
    amy__judge_clock(&facts, recorded_begin());
    expect_nothing();
    facts.is_known = true;
    amy__judge_clock(&facts, recorded_begin());
    expect_finding("warning clock", "timedatectl set-ntp true");
    facts.is_synced = true;
    amy__judge_clock(&facts, recorded_begin());
    expect_nothing();
}

static void
disk(uint64_t bytes, uint64_t bytes_free, uint64_t inodes, uint64_t inodes_free)
{
    const struct amy__disk_facts facts = {"/webapps/example.org/logs", bytes,
                                          bytes_free, inodes, inodes_free};

    amy__judge_disk(&facts, recorded_begin());
}

static void
test_disk(void **state)
{
    (void)state;
    disk(100 * GIB, 50 * GIB, 1000, 500);
    expect_nothing();
    disk(1000 * GIB, 30 * GIB, 0, 0); /* little of it, and a lot */
    expect_nothing();
    disk(100 * GIB, 8 * GIB, 0, 0);
    expect_finding("warning disk-space", "has 8192 MiB left");
    disk(100 * GIB, 500 * MIB, 0, 0);
    expect_finding("error disk-space", "has 500 MiB left");
    disk(100 * GIB, 50 * GIB, 1000, 49);
    expect_finding("warning disk-inodes", "room for 49 files");
}

static void
test_limits(void **state)
{
    (void)state;
    amy__judge_files("amy-front", 65536, recorded_begin());
    expect_nothing();
    amy__judge_files("amy-front", 1024, recorded_begin());
    expect_finding("warning limits-files", "LimitNOFILE=65536");
    amy__judge_somaxconn(4096, recorded_begin());
    expect_nothing();
    amy__judge_somaxconn(128, recorded_begin());
    expect_finding("warning limits-somaxconn", "is 128");
    amy__judge_overcommit(1, recorded_begin());
    expect_nothing();
    amy__judge_overcommit(0, recorded_begin());
    expect_finding("info limits-overcommit", "vm.overcommit_memory=1");
}

static void
port(const char *program, bool front_runs)
{
    const struct amy__port_facts facts = {443, program, front_runs};

    amy__judge_port(&facts, recorded_begin());
}

static void
test_port(void **state)
{
    (void)state;
    port(NULL, false);
    expect_nothing();
    port("amy-front", true);
    expect_nothing();
    port("nginx", false);
    expect_finding("error port", "nginx listens on port 443");
    port("", true); /* not ours to see, and most likely amy-front */
    expect_nothing();
    port("", false);
    expect_finding("unknown port", "as root");
}

static void
test_name(void **state)
{
    struct amy__name_facts facts = {.name = "example.org"};

    (void)state;
    amy__judge_name(&facts, recorded_begin());
    expect_finding("unknown dns-address", "no answer");
    facts.is_final = true;
    facts.error = "there is no such name";
    amy__judge_name(&facts, recorded_begin());
    expect_finding("warning dns-address", "there is no such name");
    facts.count = 1;
    facts.first = "192.0.2.7";
    amy__judge_name(&facts, recorded_begin());
    expect_finding("info dns-elsewhere", "leads to 192.0.2.7");
    facts.is_here = true;
    amy__judge_name(&facts, recorded_begin());
    expect_nothing();
}

static void
test_daemon(void **state)
{
    struct amy__daemon_facts facts = {.name = "amy-front",
                                      .path = "/run/amy/front.sock"};

    (void)state;
    amy__judge_daemon(&facts, recorded_begin());
    expect_nothing();
    facts.is_wanted = true;
    amy__judge_daemon(&facts, recorded_begin());
    expect_finding("warning socket-daemon", "systemctl enable --now amy-front");
    facts.error = "Permission denied";
    amy__judge_daemon(&facts, recorded_begin());
    expect_finding("unknown socket", "Permission denied");
    facts.error = NULL;
    facts.runs = true;
    facts.mode = 0666;
    amy__judge_daemon(&facts, recorded_begin());
    expect_nothing();
    facts.is_replaced = true;
    amy__judge_daemon(&facts, recorded_begin());
    expect_finding("warning socket-program", "--signal=USR2 amy-front");
    facts.is_replaced = false;
    facts.mode = 0600;
    amy__judge_daemon(&facts, recorded_begin());
    expect_finding("warning socket-mode", "chmod 0666 /run/amy/front.sock");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock),  cmocka_unit_test(test_disk),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_port),
        cmocka_unit_test(test_name),   cmocka_unit_test(test_daemon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
