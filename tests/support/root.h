/* An empty webapps root with all that a daemon's object wants beside it. */
#ifndef ROOT_H
#define ROOT_H

struct event_base;

struct root {
    char path[64];
    char webapps[80];
    char run[80];
    char state[80];
    char config[80]; /* an amy.yaml without any listener */
    struct event_base *base;
    int calls;
    unsigned status;
};

/* 0, or -1: then remove it all the same. */
int root_make(struct root *root);
int root_remove(struct root *root);

/* The HTTP status by which a daemon answers GET /v1/status. */
unsigned root_ask(struct root *root, const char *daemon);

#endif
