/* What users of a library do that they should not. */
#include "misuse.h"

#include "amy_test.h"

#include <event2/event.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S 20

int
in_a_child(int (*fn)(void *user), void *user)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(fn(user));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int
refused_in_a_child(int rc, const struct amy_error *err)
{
    return rc == AMY_ESTATE && err->code == AMY_ESTATE &&
           strncmp(err->msg, "made by process ", 16) == 0;
}

void *
newer_options(const void *opts, size_t size, size_t more, char first)
{
    char *newer = calloc(1, size + more);
    size_t whole = size + more;

    assert_non_null(newer);
    memcpy(newer, opts, size);
    memcpy(newer, &whole, sizeof(whole)); /* struct_size is the first field */
    newer[size] = first;
    return newer;
}

static void
on_guard(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    *(bool *)user = true;
}

void
run_until(struct event_base *base, const int *done)
{
    const struct timeval patience = {PATIENCE_S, 0};
    bool late = false;
    struct event *guard = event_new(base, -1, 0, on_guard, &late);

    assert_non_null(guard);
    assert_int_equal(event_add(guard, &patience), 0);
    while (!*done && !late) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    }
    event_free(guard);
    assert_true(*done);
}
