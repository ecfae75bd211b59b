/* amyctl's questions to the daemons, several at once. */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask {
    const char *daemon; /* "front", "workers" */
    const char *method;
    char path[640];
    const char *body;
    uint32_t timeout_ms;
    /* Filled in. */
    int code;        /* 0, or AMY_E*: no answer */
    uint32_t status; /* HTTP */
    json_t *json;    /* the answer; NULL when none, or no JSON */
    char reason[256];
};

/* Something to do every now and then while we wait. */
struct ask_meanwhile {
    void (*fn)(void *user);
    void *user;
};

/* Ask all at once and wait for all. Negative: not even that was possible. */
int ask_all(const char *run, struct ask *asks, size_t n);
int ask_all_while(const char *run, struct ask *asks, size_t n,
                  const struct ask_meanwhile *meanwhile);
void ask_clear(struct ask *asks, size_t n);

bool ask_succeeded(const struct ask *ask); /* 2xx */
/* Is there no such daemon now? */
bool ask_found_nobody(const struct ask *ask);
/* One line for stderr about what went wrong, and the problems it brought. */
void ask_complain(const struct ask *ask, const char *run, const char *subject);

#endif
