/* An empty webapps root with all that a daemon's object wants beside it. */
#include "root.h"

#include "amy_test.h"

#include <amy/control.h>

#include "misuse.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int
root_make(struct root *root)
{
    FILE *file = NULL;

    *root = (struct root){.path = "/tmp/amy-test-XXXXXX"};
    root->base = event_base_new();
    if (mkdtemp(root->path) == NULL || root->base == NULL) {
        return -1;
    }
    (void)snprintf(root->webapps, sizeof(root->webapps), "%s/webapps",
                   root->path);
    (void)snprintf(root->run, sizeof(root->run), "%s/run", root->path);
    (void)snprintf(root->state, sizeof(root->state), "%s/state", root->path);
    (void)snprintf(root->config, sizeof(root->config), "%s/amy.yaml",
                   root->path);
    file = fopen(root->config, "we");
    if (file == NULL) {
        return -1;
    }
    (void)fputs("front: {http: [], https: [], user: nobody}\n", file);
    return fclose(file) | mkdir(root->webapps, 0755) | mkdir(root->run, 0755) |
           mkdir(root->state, 0755);
}

int
root_remove(struct root *root)
{
    char command[128] = "";

    event_base_free(root->base);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", root->path);
    return system(command); /* NOLINT(cert-env33-c): a path of mkdtemp(3) */
}

static void
on_answer(struct amy_control_request *request,
          const struct amy_control_answer *answer, void *user)
{
    struct root *root = user;

    root->calls++;
    root->status = answer->status;
    amy_control_free(request);
}

unsigned
root_ask(struct root *root, const char *daemon)
{
    struct amy_control_options opts = AMY_CONTROL_OPTIONS_INIT;
    struct amy_control_request *request = NULL;

    opts.base = root->base;
    opts.run_directory = root->run;
    opts.daemon = daemon;
    opts.path = "/v1/status";
    opts.on_done = on_answer;
    opts.user = root;
    root->calls = 0;
    assert_int_equal(amy_control_start(&opts, &request, NULL), 0);
    run_until(root->base, &root->calls);
    return root->status;
}
