/* Watch one site's maintenance gate and print what happens, until interrupted.
 * Not for serving the page: that is amy-front's.
 *
 *   cc gate.c $(pkg-config --cflags --libs amy libevent_core) -o gate
 *   ./gate /webapps/example.org
 *   mv /webapps/example.org/maintenance_o{ff,n}.html     # elsewhere
 */
#include <amy/gate.h>

#include <event2/event.h>

#include <signal.h>
#include <stdio.h>

static void
print_gate(struct amy_gate *gate)
{
    struct amy_gate_view view = {.struct_size = sizeof(view)};

    amy_gate_read(gate, &view);
    if (view.state == AMY_GATE_OPEN) {
        printf("open\n");
    } else {
        printf("closed: a page of %zu bytes, Retry-After: %u\n",
               view.page_bytes, (unsigned)view.retry_after_s);
    }
    if (view.warning[0] != '\0') {
        printf("  %s\n", view.warning);
    }
    (void)fflush(stdout);
}

static void
on_change(struct amy_gate *gate, enum amy_gate_state state, void *user)
{
    (void)state;
    (void)user;
    print_gate(gate);
}

static void
on_interrupt(evutil_socket_t number, short what, void *user)
{
    (void)number;
    (void)what;
    (void)event_base_loopbreak(user);
}

/* The loop is ours: libamy only puts its events into it. */
static int
watch(struct event_base *base, const char *directory)
{
    struct amy_gate_options opts = AMY_GATE_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_gate *gate = NULL;
    int rc = 0;

    opts.base = base;
    opts.directory = directory;
    opts.on_change = on_change;
    rc = amy_gate_create(&opts, &gate, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "gate: %s (%s)\n", err.msg, amy_strerror(rc));
        return 1;
    }
    print_gate(gate);
    (void)event_base_dispatch(base);
    amy_gate_free(gate);
    return 0;
}

int
main(int argc, char **argv)
{
    struct event_base *base = NULL;
    struct event *interrupt = NULL;
    int status = 1;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: gate DIRECTORY\n");
        return 2;
    }
    base = event_base_new();
    interrupt =
        base == NULL ? NULL : evsignal_new(base, SIGINT, on_interrupt, base);
    if (interrupt != NULL && event_add(interrupt, NULL) == 0) {
        status = watch(base, argv[1]);
        event_free(interrupt);
    }
    if (base != NULL) {
        event_base_free(base);
    }
    return status;
}
