#include "recorded.h"

#include "amy_test.h"

#include <stdio.h>
#include <string.h>

static char lines[64 * 1024];
static size_t used;
static struct amy__findings findings;

struct amy__findings *
recorded_begin(void)
{
    used = 0;
    lines[0] = '\0';
    findings = (struct amy__findings){.fn = recorded_add,
                                      .borrow_site = "example.org"};
    return &findings;
}

const char *
recorded(void)
{
    return lines;
}

void
recorded_add(const struct amy_doctor_finding *finding, void *user)
{
    static const char *const words[] = {"info", "unknown", "warning", "error"};

    (void)user;
    assert_int_equal(finding->struct_size, sizeof(*finding));
    assert_in_range(finding->severity, 0, 3);
    used += (size_t)snprintf(lines + used, sizeof(lines) - used,
                             "%s %s: %s | %s\n", words[finding->severity],
                             finding->check, finding->what, finding->todo);
    assert_true(used < sizeof(lines));
}

void
expect_finding(const char *head, const char *words)
{
    size_t n = strlen(head);

    if (strncmp(lines, head, n) != 0 || lines[n] != ':' ||
        strstr(lines, words) == NULL || strchr(lines, '\n')[1] != '\0') {
        fail_msg("wanted %s ... %s, and there is:\n%s", head, words, lines);
    }
    recorded_begin();
}

void
expect_nothing(void)
{
    assert_string_equal(lines, "");
}
