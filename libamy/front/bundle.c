/* Bundles: packed by the master, unpacked by front processes, side by side. */
/* Not for what is in the files they carry, nor for when they are exchanged. */
#include "front/bundle.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

/* Where each descriptor stands in its struct, and its key in the JSON. */
struct place {
    const char *key;
    size_t offset;
};

static const struct place bundle_places[] = {
    {"spool_fd", offsetof(struct amy__bundle, spool_fd)},
    {"words_fd", offsetof(struct amy__bundle, words_fd)},
    {"slots_fd", offsetof(struct amy__bundle, slots_fd)},
    {"locks_fd", offsetof(struct amy__bundle, locks_fd)},
    {"tickets_fd", offsetof(struct amy__bundle, tickets_fd)},
    {NULL, 0},
};

static const struct place site_places[] = {
    {"yaml_fd", offsetof(struct amy__bundle_site, yaml_fd)},
    {"dir_fd", offsetof(struct amy__bundle_site, dir_fd)},
    {"run_fd", offsetof(struct amy__bundle_site, run_fd)},
    {"access_fd", offsetof(struct amy__bundle_site, access_fd)},
    {"error_fd", offsetof(struct amy__bundle_site, error_fd)},
    {"page_fd", offsetof(struct amy__bundle_site, page_fd)},
    {"down_fd", offsetof(struct amy__bundle_site, down_fd)},
    {"users_fd", offsetof(struct amy__bundle_site, users_fd)},
    {NULL, 0},
};

static const struct place cert_places[] = {
    {"chain_fd", offsetof(struct amy__bundle_cert, chain_fd)},
    {"key_fd", offsetof(struct amy__bundle_cert, key_fd)},
    {NULL, 0},
};

static int
get_place(const void *object, const struct place *place)
{
    int fd = -1;

    memcpy(&fd, (const char *)object + place->offset, sizeof(fd));
    return fd;
}

static void
set_place(void *object, const struct place *place, int fd)
{
    memcpy((char *)object + place->offset, &fd, sizeof(fd));
}

static void
close_places(void *object, const struct place *places)
{
    for (const struct place *p = places; p->key != NULL; p++) {
        int fd = get_place(object, p);

        amy__close(&fd);
        set_place(object, p, -1);
    }
}

static void
empty_places(void *object, const struct place *places)
{
    for (const struct place *p = places; p->key != NULL; p++) {
        set_place(object, p, -1);
    }
}

/* ---- life ---- */

int
amy__bundle_create(size_t sites, size_t trusted, size_t events,
                   struct amy__bundle **ret_bundle, struct amy_error *err)
{
    AMY_CLEANUP(amy__bundle_free_p)
    struct amy__bundle *bundle = amy__calloc(1, sizeof(*bundle));

    if (bundle == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a bundle");
    }
    empty_places(bundle, bundle_places);
    bundle->sites = amy__calloc(sites + 1, sizeof(*bundle->sites));
    bundle->trusted = amy__calloc(trusted + 1, sizeof(*bundle->trusted));
    bundle->events = amy__calloc(events + 1, sizeof(*bundle->events));
    if (bundle->sites == NULL || bundle->trusted == NULL ||
        bundle->events == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a bundle");
    }
    for (size_t i = 0; i < sites; i++) {
        empty_places(&bundle->sites[i], site_places);
    }
    for (size_t i = 0; i < events; i++) {
        bundle->events[i] = -1;
    }
    bundle->site_count = sites;
    bundle->trusted_count = trusted;
    bundle->event_count = events;
    *ret_bundle = AMY_TAKE(bundle);
    return 0;
}

void
amy__bundle_free(struct amy__bundle *bundle)
{
    if (bundle == NULL) {
        return;
    }
    for (size_t i = 0; i < bundle->site_count; i++) {
        amy__bundle_site_clear(&bundle->sites[i]);
    }
    for (size_t i = 0; i < bundle->event_count; i++) {
        amy__close(&bundle->events[i]);
    }
    close_places(bundle, bundle_places);
    amy__free(bundle->sites);
    amy__free(bundle->trusted);
    amy__free(bundle->events);
    amy__free(bundle);
}

static int
copy_places(const void *from, void *to, const struct place *places)
{
    for (const struct place *p = places; p->key != NULL; p++) {
        int fd = get_place(from, p);

        fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0 && get_place(from, p) >= 0) {
            return AMY_EIO;
        }
        set_place(to, p, fd);
    }
    return 0;
}

int
amy__bundle_cert_copy(const struct amy__bundle_cert *from,
                      struct amy__bundle_cert *to, struct amy_error *err)
{
    empty_places(to, cert_places);
    if (copy_places(from, to, cert_places) < 0) {
        int failure = errno;

        close_places(to, cert_places);
        return amy__err_sys(err, failure,
                            "copying a certificate's descriptors");
    }
    return 0;
}

void
amy__bundle_certs_clear(struct amy__bundle_site *site)
{
    for (size_t i = 0; i < site->cert_count; i++) {
        close_places(&site->certs[i], cert_places);
    }
    site->cert_count = 0;
}

int
amy__bundle_site_copy(const struct amy__bundle_site *from,
                      struct amy__bundle_site *to, struct amy_error *err)
{
    to->name = amy__strdup(from->name);
    if (to->name == NULL) {
        return amy__err(err, AMY_ENOMEM, "copying a site");
    }
    to->index = from->index;
    to->serial = from->serial;
    to->access_serial = from->access_serial;
    to->error_serial = from->error_serial;
    if (copy_places(from, to, site_places) < 0) {
        return amy__err_sys(err, errno, "copying a site's descriptors");
    }
    for (size_t i = 0; i < from->cert_count; i++) {
        int rc = amy__bundle_cert_copy(&from->certs[i], &to->certs[i], err);

        if (rc < 0) {
            return rc;
        }
        to->cert_count++;
    }
    return 0;
}

void
amy__bundle_site_clear(struct amy__bundle_site *site)
{
    close_places(site, site_places);
    amy__bundle_certs_clear(site);
    amy__free(site->name);
    site->name = NULL;
}

/* ---- packing ---- */

struct packing {
    int *fds;
    size_t count;
    size_t cap;
};

/* The descriptor's place among those sent; -1 for none. */
static struct amy__json *
pack_fd(struct packing *packing, int fd)
{
    if (fd < 0) {
        return amy__json_int(-1);
    }
    if (packing->count == packing->cap) {
        size_t cap = packing->cap == 0 ? 64 : packing->cap * 2;
        int *grown = amy__realloc(packing->fds, cap * sizeof(*grown));

        if (grown == NULL) {
            return NULL; /* amy__json_set makes it AMY_ENOMEM */
        }
        packing->fds = grown;
        packing->cap = cap;
    }
    packing->fds[packing->count] = fd;
    return amy__json_int((int64_t)packing->count++);
}

static int
pack_places(struct packing *packing, struct amy__json *json, const void *object,
            const struct place *places)
{
    int rc = 0;

    for (const struct place *p = places; rc == 0 && p->key != NULL; p++) {
        rc =
            amy__json_set(json, p->key, pack_fd(packing, get_place(object, p)));
    }
    return rc;
}

static int
pack_certs(struct packing *packing, struct amy__json *json,
           const struct amy__bundle_site *site)
{
    struct amy__json *certs = amy__json_array();
    int set_rc = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < site->cert_count; i++) {
        struct amy__json *one = amy__json_object();

        rc = pack_places(packing, one, &site->certs[i], cert_places);
        set_rc = amy__json_add(certs, one);
        rc = rc < 0 ? rc : set_rc;
    }
    set_rc = amy__json_set(json, "certs", certs);
    return rc < 0 ? rc : set_rc;
}

static int
pack_site(struct packing *packing, struct amy__json *sites,
          const struct amy__bundle_site *site)
{
    struct amy__json *json = amy__json_object();
    int rc = amy__json_set(json, "name", amy__json_text(site->name));

    if (rc == 0) {
        rc = amy__json_set(json, "index", amy__json_int(site->index));
    }
    if (rc == 0) {
        rc =
            amy__json_set(json, "serial", amy__json_int((int64_t)site->serial));
    }
    if (rc == 0) {
        rc = amy__json_set(json, "access_serial",
                           amy__json_int((int64_t)site->access_serial));
    }
    if (rc == 0) {
        rc = amy__json_set(json, "error_serial",
                           amy__json_int((int64_t)site->error_serial));
    }
    if (rc == 0) {
        rc = pack_places(packing, json, site, site_places);
    }
    if (rc == 0) {
        rc = pack_certs(packing, json, site);
    }
    if (rc < 0) {
        amy__json_free(json);
        return rc;
    }
    return amy__json_add(sites, json);
}

static int
pack_cidr(struct amy__json *trusted, const struct amy__cidr *cidr)
{
    char hex[2 * sizeof(cidr->bytes) + 1] = "";
    struct amy__json *json = amy__json_object();
    int rc = 0;

    amy__hex(cidr->bytes, sizeof(cidr->bytes), hex);
    rc = amy__json_set(json, "address", amy__json_text(hex));
    if (rc == 0) {
        rc = amy__json_set(json, "bits", amy__json_int(cidr->bits));
    }
    if (rc < 0) {
        amy__json_free(json);
        return rc;
    }
    return amy__json_add(trusted, json);
}

static int
pack_lists(struct packing *packing, struct amy__json *json,
           const struct amy__bundle *bundle)
{
    struct amy__json *sites = amy__json_array();
    struct amy__json *trusted = amy__json_array();
    struct amy__json *events = amy__json_array();
    int rc = 0;
    int set_rc = 0;

    for (size_t i = 0; rc == 0 && i < bundle->site_count; i++) {
        rc = pack_site(packing, sites, &bundle->sites[i]);
    }
    for (size_t i = 0; rc == 0 && i < bundle->trusted_count; i++) {
        rc = pack_cidr(trusted, &bundle->trusted[i]);
    }
    for (size_t i = 0; rc == 0 && i < bundle->event_count; i++) {
        rc = amy__json_add(events, pack_fd(packing, bundle->events[i]));
    }
    /* Each is taken over, whatever went wrong before. */
    set_rc = amy__json_set(json, "sites", sites);
    rc = rc < 0 ? rc : set_rc;
    set_rc = amy__json_set(json, "trusted", trusted);
    rc = rc < 0 ? rc : set_rc;
    set_rc = amy__json_set(json, "events", events);
    return rc < 0 ? rc : set_rc;
}

static int
pack_whole(struct packing *packing, struct amy__json *json,
           const struct amy__bundle *bundle)
{
    int rc =
        amy__json_set(json, "bundle", amy__json_int((int64_t)bundle->number));

    if (rc == 0) {
        rc = amy__json_set(json, "connections",
                           amy__json_int(bundle->connections));
    }
    if (rc == 0) {
        rc = amy__json_set(json, "https_port",
                           amy__json_int(bundle->https_port));
    }
    if (rc == 0) {
        rc = amy__json_set(json, "logs_stdout",
                           amy__json_bool(bundle->logs_stdout));
    }
    if (rc == 0) {
        rc = pack_places(packing, json, bundle, bundle_places);
    }
    return rc == 0 ? pack_lists(packing, json, bundle) : rc;
}

int
amy__bundle_pack(const struct amy__bundle *bundle, struct amy__buf *ret_json,
                 int **ret_fds, size_t *ret_count, struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    struct packing packing = {0};
    int rc = pack_whole(&packing, json, bundle);

    if (rc == 0) {
        rc = amy__json_write(json, 0, ret_json);
    }
    if (rc < 0) {
        amy__free(packing.fds);
        return amy__err(err, rc, "packing a bundle");
    }
    *ret_fds = packing.fds;
    *ret_count = packing.count;
    return 0;
}

/* ---- unpacking ---- */

static void
unpack_places(struct amy__wire_message *message, const struct amy__json *json,
              void *object, const struct place *places)
{
    for (const struct place *p = places; p->key != NULL; p++) {
        set_place(object, p, amy__wire_take_fd(message, json, p->key));
    }
}

static bool
unpack_certs(struct amy__wire_message *message, const struct amy__json *json,
             struct amy__bundle_site *ret)
{
    const struct amy__json *certs = amy__json_get(json, "certs");

    if (amy__json_count(certs) > AMY__SITE_CERTS_MAX) {
        return false;
    }
    for (size_t i = 0; i < amy__json_count(certs); i++) {
        struct amy__bundle_cert *cert = &ret->certs[ret->cert_count++];

        unpack_places(message, amy__json_at(certs, i), cert, cert_places);
        if (cert->chain_fd < 0 || cert->key_fd < 0) {
            return false;
        }
    }
    return true;
}

static bool
unpack_site(struct amy__wire_message *message, const struct amy__json *json,
            struct amy__bundle_site *ret)
{
    int64_t index = amy__json_get_int(json, "index", -1);
    int64_t serial = amy__json_get_int(json, "serial", -1);

    unpack_places(message, json, ret, site_places);
    ret->name = amy__strdup(amy__json_get_text(json, "name", ""));
    if (ret->name == NULL || ret->name[0] == '\0' || index < 0 ||
        index >= (int64_t)AMY__SITES_MAX || serial < 0) {
        return false;
    }
    ret->index = (uint32_t)index;
    ret->serial = (uint64_t)serial;
    ret->access_serial = (uint64_t)amy__json_get_int(json, "access_serial", 0);
    ret->error_serial = (uint64_t)amy__json_get_int(json, "error_serial", 0);
    return ret->yaml_fd >= 0 && unpack_certs(message, json, ret);
}

static bool
unpack_cidr(const struct amy__json *json, struct amy__cidr *ret)
{
    const char *hex = amy__json_get_text(json, "address", "");
    int64_t bits = amy__json_get_int(json, "bits", -1);

    if (bits < 0 || bits > 128 ||
        !amy__unhex(hex, sizeof(ret->bytes), ret->bytes)) {
        return false;
    }
    ret->bits = (uint8_t)bits;
    return true;
}

static bool
unpack_event(struct amy__wire_message *message, const struct amy__json *json,
             int *ret_fd)
{
    int64_t place = amy__json_as_int(json, -1);

    if (place < 0 || (uint64_t)place >= message->fd_count) {
        return false;
    }
    *ret_fd = message->fds[place];
    message->fds[place] = -1;
    return *ret_fd >= 0;
}

static bool
unpack_whole(struct amy__wire_message *message, const struct amy__json *json,
             struct amy__bundle *bundle)
{
    const struct amy__json *sites = amy__json_get(json, "sites");
    const struct amy__json *trusted = amy__json_get(json, "trusted");
    const struct amy__json *events = amy__json_get(json, "events");
    int64_t number = amy__json_get_int(json, "bundle", -1);
    int64_t connections = amy__json_get_int(json, "connections", -1);
    int64_t https_port = amy__json_get_int(json, "https_port", -1);
    bool good = number >= 0 && connections >= 0 && connections <= UINT32_MAX &&
                https_port >= 0 && https_port <= UINT16_MAX;

    unpack_places(message, json, bundle, bundle_places);
    for (size_t i = 0; i < bundle->site_count && good; i++) {
        good = unpack_site(message, amy__json_at(sites, i), &bundle->sites[i]);
    }
    for (size_t i = 0; i < bundle->trusted_count && good; i++) {
        good = unpack_cidr(amy__json_at(trusted, i), &bundle->trusted[i]);
    }
    for (size_t i = 0; i < bundle->event_count && good; i++) {
        good =
            unpack_event(message, amy__json_at(events, i), &bundle->events[i]);
    }
    if (good) {
        bundle->number = (uint64_t)number;
        bundle->connections = (uint32_t)connections;
        bundle->https_port = (uint32_t)https_port;
        bundle->logs_stdout = amy__json_get_bool(json, "logs_stdout", false);
    }
    return good;
}

int
amy__bundle_unpack(struct amy__span text, struct amy__wire_message *message,
                   struct amy__bundle **ret_bundle, struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = NULL;
    AMY_CLEANUP(amy__bundle_free_p) struct amy__bundle *bundle = NULL;
    size_t sites = 0;
    size_t trusted = 0;
    size_t events = 0;
    int rc = amy__json_parse(text, &json, err);

    if (rc < 0) {
        return rc == AMY_ENOMEM ? rc
                                : amy__err(err, AMY_EPROTO, "bundle: no JSON");
    }
    sites = amy__json_count(amy__json_get(json, "sites"));
    trusted = amy__json_count(amy__json_get(json, "trusted"));
    events = amy__json_count(amy__json_get(json, "events"));
    if (sites > AMY__SITES_MAX) {
        return amy__err(err, AMY_EPROTO, "bundle: %zu sites", sites);
    }
    rc = amy__bundle_create(sites, trusted, events, &bundle, err);
    if (rc < 0) {
        return rc;
    }
    if (!unpack_whole(message, json, bundle)) {
        return amy__err(err, AMY_EPROTO, "bundle: something is missing");
    }
    *ret_bundle = AMY_TAKE(bundle);
    return 0;
}

/* ---- over the wire ---- */

static int
send_packed(const struct amy__bundle *bundle, struct amy__wire *wire,
            struct amy__json *head, struct amy__buf *text, int **fds,
            struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int body = -1;
    int *grown = NULL;
    size_t count = 0;
    int rc = amy__bundle_pack(bundle, text, fds, &count, err);

    if (rc < 0) {
        return rc;
    }
    body = amy__sealed_memfd("amy-bundle", text->data, text->len, err);
    if (body < 0) {
        return body;
    }
    grown = amy__realloc(*fds, (count + 1) * sizeof(*grown));
    if (grown == NULL ||
        amy__json_set(head, "body_fd", amy__json_int((int64_t)count)) < 0) {
        *fds = grown == NULL ? *fds : grown;
        return amy__err(err, AMY_ENOMEM, "sending a bundle");
    }
    *fds = grown;
    grown[count] = body;
    return amy__wire_send(wire, AMY__WIRE_PREPARE, head, grown, count + 1, err);
}

int
amy__bundle_send(const struct amy__bundle *bundle, struct amy__wire *wire,
                 uint32_t index, uint32_t processes, struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *head = amy__json_object();
    struct amy__buf text = {0};
    int *fds = NULL;
    int rc =
        amy__json_set(head, "bundle", amy__json_int((int64_t)bundle->number));

    if (rc == 0) {
        rc = amy__json_set(head, "index", amy__json_int(index));
    }
    if (rc == 0) {
        rc = amy__json_set(head, "processes", amy__json_int(processes));
    }
    if (rc < 0) {
        return amy__err(err, rc, "sending a bundle");
    }
    amy__buf_init(&text, AMY__BUNDLE_JSON_MAX);
    rc = send_packed(bundle, wire, head, &text, &fds, err);
    amy__free(fds);
    amy__buf_clear(&text);
    return rc;
}

int
amy__bundle_receive(struct amy__wire_message *message, uint32_t *ret_index,
                    uint32_t *ret_processes, struct amy__bundle **ret_bundle,
                    struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int body = amy__wire_take_fd(message, message->json, "body_fd");
    int64_t index = amy__json_get_int(message->json, "index", -1);
    int64_t processes = amy__json_get_int(message->json, "processes", -1);
    const void *data = NULL;
    size_t size = 0;
    int rc = 0;

    if (body < 0 || index < 0 || processes <= index || processes > UINT16_MAX) {
        return amy__err(err, AMY_EPROTO, "bundle: something is missing");
    }
    rc = amy__map_sealed(body, AMY__BUNDLE_JSON_MAX, &data, &size, err);
    if (rc < 0) {
        return rc;
    }
    rc = amy__bundle_unpack((struct amy__span){data, size}, message, ret_bundle,
                            err);
    if (data != NULL) {
        (void)munmap((void *)(uintptr_t)data, size); /* ours since above */
    }
    if (rc == 0) {
        *ret_index = (uint32_t)index;
        *ret_processes = (uint32_t)processes;
    }
    return rc;
}
