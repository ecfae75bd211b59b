/* What the files of a front process share: the process, the sites that it
 * serves, and one request's state. Nothing outside front/ includes it. */
#ifndef AMY_FRONT_STATE_H
#define AMY_FRONT_STATE_H

#include <amy/log.h>

#include "core/log.h"
#include "front/access.h"
#include "front/accesslog.h"
#include "front/dispatch.h"
#include "front/filecache.h"
#include "front/forwarded.h"
#include "front/pages.h"
#include "front/parts.h"
#include "front/peeks.h"
#include "front/router.h"
#include "front/wire.h"
#include "gate/word.h"
#include "serve/server.h"
#include "serve/slab.h"
#include "serve/spool.h"
#include "site/site.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct amy__front;
struct amy__checks;
struct amy__users;
struct amy__users_entry;

/* With those that site.yaml does not name any more, until they are idle. */
#define AMY__POOLS_PER_SITE 1024U

/* What stays of a site while bundles come and go: its workers with their
 * queues, pages, log and figures. Kept until the process ends. */
struct amy__domain {
    struct amy__front *front;
    char *name;
    int run_fd; /* workers' sockets are beneath it */
    struct amy__pool_lane **pools;
    size_t pool_count;
    struct amy__page *gate_page; /* of gate_serial; never NULL */
    uint64_t gate_serial;
    struct amy__page *down_page; /* never NULL */
    struct amy__access_log *log;
    struct amy__error_log *errors;
    uint64_t log_serial; /* which file it writes */
    uint64_t errors_serial;
    uint64_t requests;
    uint64_t by_class[6]; /* answers: [2] 2xx ... */
};

/* What a route to workers or servers comes to; the index is the route's. */
struct amy__vhost_route {
    struct amy__pool_lane *pool; /* NULL: it leads to files */
    uint32_t timeout_ms;         /* of a worker's silence */
    uint32_t tunnel_ms;          /* of everybody's, after 101 */
};

/* A site as one bundle has it. Exchanges keep the one they began with. */
struct amy__vhost {
    unsigned refs;
    struct amy__domain *domain;
    struct amy__site *site;
    uint32_t word; /* its gate word */
    int dir_fd;
    struct amy__file_cache *files;
    struct amy__vhost_route *routes;
    struct amy__users *users; /* who gets in by a password; NULL: nobody */
};

struct amy__front_listener {
    int64_t id; /* the master's */
    int fd;     /* the server's */
    bool tls;
};

/* Figures of this process that are not the server's. */
struct amy__front_figures {
    uint64_t misdirected; /* 421 */
    uint64_t gated;
};

struct amy__front {
    uint32_t magic;
    struct event_base *base;
    const struct amy_clock *clock;
    struct amy_log log;
    struct amy__log_limit refused_limit;
    /* process.c */
    void (*on_finished)(struct amy__front *front, int rc, void *user);
    void *user;
    int channel_fd;
    struct amy__wire *wire;
    struct amy__served *prepared; /* a bundle that waits for its COMMIT */
    struct amy__timer *deadline;  /* of the drain */
    struct amy__timer *tick;
    struct amy__io *bell; /* our own eventfd */
    int *events;
    size_t event_count;
    void *slots_memory;
    struct amy__site_locks *locks; /* by the index of a site; or NULL */
    struct amy__front_listener *listeners;
    size_t listener_count;
    struct amy__peeks *peeks; /* a look at them, under way */
    int64_t peeks_ask;
    bool draining;
    bool finished;
    bool masterless;   /* the channel is gone */
    bool hurried;      /* do not wait for requests under way */
    bool tunnels_over; /* they had their time of the drain */
    bool patient;      /* draining, with a patience of its own */
    /* what requests need */
    struct amy__server *server;
    struct amy__dispatch *dispatch;
    struct amy__router *router; /* the bundle in use; NULL before the first */
    struct amy__tls *tls;
    struct amy__cidr *trusted;
    size_t trusted_count;
    uint32_t https_port;
    const struct amy__gate_words *words;
    struct amy__blocks blocks; /* for answers that wait for slow clients */
    int spool_fd;
    struct amy__id_maker ids;
    struct amy__page *built_in_gate;
    struct amy__domain **domains; /* amy__front_domain() */
    size_t domain_count;
    struct amy__vhost **vhosts; /* of the bundle in use */
    size_t vhost_count;
    struct amy__front_figures figures;
    struct amy__checks *checks;              /* made when the first one comes */
    LIST_HEAD(, amy__visit) door;            /* who waits for a check */
    char cache_text[AMY__ACCESS_CACHE_TEXT]; /* of the head being sent */
    /* Scratch for heads: too large for a stack frame that is filled with
     * zeros, and for a request's own memory. */
    struct amy__request_head upstream;
    struct amy__answer_head answer;
    struct amy__forward_text text;
};

/* Which way an exchange went; says what must be given back. */
enum amy__visit_way {
    AMY__WAY_OWN = 0, /* an answer of ours */
    AMY__WAY_FILE,
    AMY__WAY_PROXY,
    AMY__WAY_DOOR, /* none yet: a password is being checked */
};

/* One request's state, in the exchange's room. */
struct amy__visit {
    struct amy__front *front;
    struct amy__exchange *x;
    struct amy__vhost *vhost; /* a reference; NULL: no site was found */
    const struct amy__route *route;
    struct amy__page *page;   /* being sent: a reference */
    struct amy__file *file;   /* the same */
    struct amy__parts *parts; /* of the file: several ranges */
    struct amy__job job;      /* AMY__WAY_PROXY */
    struct amy__spool late;   /* of the answer: what the client has not taken */
    struct amy__spool later; /* the same, when there was no room for it there */
    uint64_t late_at;
    LIST_ENTRY(amy__visit) at_door;    /* while check is not 0 */
    uint64_t check;                    /* AMY__WAY_DOOR: its number */
    const struct amy__users_entry *as; /* in by a password; the vhost's */
    char client[AMY__CLIENT_MAX];      /* address, resolved through proxies */
    char request_id[AMY__REQUEST_ID_MAX];
    uint8_t way;    /* enum amy__visit_way */
    bool streams;   /* pass on as it comes, do not collect */
    bool endless;   /* maybe: the answer does not say how long it is */
    bool begun;     /* the answer's head went out */
    bool paused;    /* the worker is not read from */
    bool full;      /* the client is slower than the worker */
    bool ended;     /* the worker said all */
    bool job_on;    /* the job may still call us */
    bool gone;      /* the client does not send any more, maybe reads */
    bool closed;    /* the exchange was ended */
    bool tunnel;    /* it changed protocols: tunnel.c */
    bool screened;  /* not for strangers, nor for their caches */
    bool body_here; /* taken in at the door, or there is none */
};

_Static_assert(sizeof(struct amy__visit) <= AMY__EXCHANGE_ROOM,
               "a visit lives in its exchange's room");

static inline struct amy__visit *
amy__visit_of_job(struct amy__job *job)
{
    return (struct amy__visit *)(void *)((char *)job -
                                         offsetof(struct amy__visit, job));
}

static inline struct amy__visit *
amy__visit_of(struct amy__exchange *x)
{
    return amy__exchange_room(x);
}

/* request.c: from a request's head to its answer. */
extern const struct amy__server_handler amy__front_handler;
void amy__visit_page(struct amy__visit *v, unsigned status,
                     struct amy__page *page, int64_t retry_after_s);
/* A short answer of our own; allow may be NULL. */
void amy__visit_refuse(struct amy__visit *v, unsigned status,
                       const char *allow);
/* The same, with a field of any name; name.n 0: none. */
void amy__visit_refuse_with(struct amy__visit *v, unsigned status,
                            struct amy__span name, struct amy__span value);
/* The application did not answer: its page, and a line in error.log. */
void amy__visit_fail(struct amy__visit *v, unsigned status, const char *what);
struct amy__arrival amy__visit_arrival(const struct amy__visit *v);
/* One line of error.log about this exchange. */
void amy__visit_blame(struct amy__visit *v, unsigned status, const char *what);

/* The door lets it in, now or after it waited there. */
void amy__visit_admit(struct amy__visit *v);

/* door.c: sites that are closed to strangers. */
/* True: it is kept, for an answer or until a check is over. */
bool amy__door_keeps(struct amy__visit *v, const struct amy__request_head *head,
                     const struct amy__address *client);
void amy__door_on_body(struct amy__visit *v);
void amy__door_leave(struct amy__visit *v); /* the client did */
/* CHECKED came. */
void amy__door_checked(struct amy__front *front, const struct amy__json *json);
void amy__door_tick(struct amy__front *front); /* once a second */
/* What every answer of such a site says besides. */
void amy__door_dress(struct amy__visit *v, struct amy__answer_head *head);

/* checker.c: a process without sites answers CHECK. */
void amy__checker_answer(struct amy__front *front, const struct amy__json *ask);

/* process.c: to the master; json is taken over. */
void amy__front_say(struct amy__front *front, enum amy__wire_type type,
                    struct amy__json *json);

/* static.c, proxy.c: the two ways on. */
void amy__static_serve(struct amy__visit *v, int dir_fd, const char *root,
                       struct amy__span path);
/* A file of v->route in place of an answer of the application's; path: beneath
 * the route's, decoded. On failure (AMY_ENOTFOUND, AMY_EDENIED, ...) nothing
 * was answered. */
int amy__static_stand_in(struct amy__visit *v, struct amy__span path,
                         const struct amy__answer_head *said);
void amy__proxy_start(struct amy__visit *v);
void amy__proxy_on_body(struct amy__visit *v);
void amy__proxy_on_room(struct amy__visit *v);
void amy__proxy_on_gone(struct amy__visit *v);
/* Nobody is to have any more of it, on either side. */
void amy__proxy_cut(struct amy__visit *v);
/* The exchange is over: let go of everything. */
void amy__proxy_clear(struct amy__visit *v);

/* tunnel.c: after an answer 101. */
void amy__tunnel_open(struct amy__visit *v, struct amy__answer_head *answer);
void amy__tunnel_from_worker(struct amy__visit *v, struct amy__span data);
void amy__tunnel_from_client(struct amy__exchange *x, struct amy__span data,
                             void *user);
void amy__tunnel_client_over(struct amy__exchange *x, void *user);
void amy__tunnel_client_room(struct amy__visit *v);
void amy__tunnel_worker_over(struct amy__job *job);
void amy__tunnel_worker_gone(struct amy__visit *v);
void amy__tunnel_worker_room(struct amy__job *job);

/* figures.c: the answer to STATUS, of so many asked. */
struct amy__json *amy__front_figures_json(const struct amy__front *front,
                                          int64_t ask);

/* served.c: sites and domains. */
struct amy__pool_lane *amy__domain_pool(struct amy__domain *domain,
                                        const char *name); /* or NULL */
struct amy__vhost *amy__vhost_ref(struct amy__vhost *vhost);
void amy__vhost_unref(struct amy__vhost *vhost);

#endif
