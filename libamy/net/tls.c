/* Which certificate a name is served with, protocol rules, session tickets. */
/* Not for reading certificates (tls_cert.c) nor for connections (tls_conn.c).
 */
#include "net/tls.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/digest.h"
#include "core/error.h"
#include "net/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 255
#define TICKET_KEYS_MAX 4
#define TICKET_KEY_BYTES 48

struct entry {
    char *name; /* NULL: free */
    struct amy__tls_set *set;
};

/* Names to certificates by open addressing, at most half full. */
struct names {
    struct entry *entries;
    size_t size; /* a power of two */
    size_t count;
    struct amy__tls_set *otherwise;
    struct amy__tls_set **sets; /* of all names, each once: a reference each */
    size_t set_count;
    /* 16 bytes name, 16 AES, 16 HMAC each; newest first (RFC 5077 4). */
    uint8_t keys[TICKET_KEYS_MAX * TICKET_KEY_BYTES];
    size_t key_count;
};

struct amy__tls {
    SSL_CTX *base;
    struct names live;
    struct names staged;
    uint64_t seed;
    bool staging;
};

SSL_CTX *
amy__tls_base(const struct amy__tls *tls)
{
    return tls->base;
}

static int
choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
                const unsigned char *offered, unsigned n, void *user)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)user;
    if (SSL_select_next_proto(&chosen, ret_n, ours, sizeof(ours) - 1, offered,
                              n) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *
amy__tls_context(struct amy_error *err)
{
    /* OpenSSL's macro casts const away, which newer compilers see. */
    char groups[] = "X25519:P-256:P-384";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL) {
        (void)amy__tls_err(err, AMY_ENOMEM, "making a TLS context");
        return NULL;
    }
    (void)SSL_CTX_set_options(
        ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
                                    SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* one read per record, not two */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 2);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:"
                                      "TLS_AES_256_GCM_SHA384:"
                                      "TLS_CHACHA20_POLY1305_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(ctx, groups) != 1 ||
        SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"amy", 3) !=
            1) {
        (void)amy__tls_err(err, AMY_ENOMEM, "setting up a TLS context");
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* Lower-cased, without a trailing dot; false when it is no name. */
static bool
fold(struct amy__span name, char buf[NAME_MAX_BYTES + 1])
{
    if (name.n > 0 && name.p[name.n - 1] == '.') {
        name.n--;
    }
    if (name.n == 0 || name.n > NAME_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        buf[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    buf[name.n] = '\0';
    return true;
}

/* The entry of that name, or the free one where it belongs. */
static struct entry *
locate(const struct names *names, uint64_t seed, const char *folded)
{
    size_t i = (size_t)amy__hash(amy__span_of(folded), seed);

    for (;; i++) {
        struct entry *entry = &names->entries[i & (names->size - 1)];

        if (entry->name == NULL || strcmp(entry->name, folded) == 0) {
            return entry;
        }
    }
}

static struct amy__tls_set *
look_up(const struct amy__tls *tls, struct amy__span name)
{
    char folded[NAME_MAX_BYTES + 1];

    if (tls->live.size == 0 || !fold(name, folded)) {
        return NULL;
    }
    return locate(&tls->live, tls->seed, folded)->set;
}

static void
clear_names(struct names *names)
{
    for (size_t i = 0; i < names->size; i++) {
        amy__free(names->entries[i].name);
    }
    for (size_t i = 0; i < names->set_count; i++) {
        amy__tls_set_unref(names->sets[i]);
    }
    amy__free(names->entries);
    amy__free(names->sets);
    amy__wipe(names->keys, sizeof(names->keys));
    *names = (struct names){0};
}

static int
choose_set(SSL *ssl, int *alert, void *user)
{
    const struct amy__tls *tls = user;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct amy__tls_set *set = NULL;

    if (name != NULL) {
        set = look_up(tls, amy__span_of(name));
    }
    if (set == NULL) {
        set = tls->live.otherwise;
    }
    if (set == NULL || SSL_set_SSL_CTX(ssl, set->ctx) == NULL) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_TLSEXT_ERR_OK;
}

static int
set_up_ticket(const uint8_t *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
              EVP_MAC_CTX *mac, int encrypt)
{
    char sha256[] = "SHA256";
    uint8_t secret[16];
    OSSL_PARAM params[3];
    bool done = false;

    memcpy(secret, key + 32, sizeof(secret));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret,
                                                  sizeof(secret));
    params[1] =
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0);
    params[2] = OSSL_PARAM_construct_end();
    done = EVP_CipherInit_ex(cipher, EVP_aes_128_cbc(), NULL, key + 16, iv,
                             encrypt) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
    amy__wipe(secret, sizeof(secret));
    return done ? 1 : -1;
}

/* OpenSSL's contract: 1 done, 2 done and renew it, 0 unknown, -1 failed. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    const struct amy__tls *tls = SSL_get_app_data(ssl);
    const struct names *live = &tls->live;

    if (encrypt == 1) {
        memcpy(name, live->keys, 16);
        if (amy__random(iv, EVP_MAX_IV_LENGTH, NULL) < 0) {
            return -1;
        }
        return set_up_ticket(live->keys, iv, cipher, mac, 1);
    }
    for (size_t i = 0; i < live->key_count; i++) {
        const uint8_t *key = live->keys + i * TICKET_KEY_BYTES;

        if (memcmp(name, key, 16) == 0) {
            int rc = set_up_ticket(key, iv, cipher, mac, 0);

            return rc == 1 && i > 0 ? 2 : rc;
        }
    }
    return 0;
}

int
amy__tls_create(struct amy__tls **ret_tls, struct amy_error *err)
{
    struct amy__tls *tls = amy__calloc(1, sizeof(*tls));

    if (tls == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a TLS store");
    }
    tls->base = amy__tls_context(err);
    if (tls->base == NULL) {
        amy__free(tls);
        return AMY_ENOMEM;
    }
    if (amy__random(&tls->seed, sizeof(tls->seed), err) < 0) {
        amy__tls_free(tls);
        return AMY_EIO;
    }
    (void)SSL_CTX_set_tlsext_servername_callback(tls->base, choose_set);
    (void)SSL_CTX_set_tlsext_servername_arg(tls->base, tls);
    *ret_tls = tls;
    return 0;
}

void
amy__tls_free(struct amy__tls *tls)
{
    if (tls == NULL) {
        return;
    }
    clear_names(&tls->live);
    clear_names(&tls->staged);
    SSL_CTX_free(tls->base);
    amy__free(tls);
}

int
amy__tls_stage(struct amy__tls *tls, struct amy_error *err)
{
    if (tls->staging) {
        return amy__err(err, AMY_ESTATE, "a set of names is staged already");
    }
    tls->staging = true;
    return 0;
}

static int
grow(struct amy__tls *tls, struct amy_error *err)
{
    struct names *names = &tls->staged;
    struct names bigger = *names;

    if (names->size > 0 && names->count < names->size / 2) {
        return 0;
    }
    bigger.size = names->size == 0 ? 16 : names->size * 2;
    bigger.entries = amy__calloc(bigger.size, sizeof(*bigger.entries));
    if (bigger.entries == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a table of names");
    }
    for (size_t i = 0; i < names->size; i++) {
        if (names->entries[i].name != NULL) {
            *locate(&bigger, tls->seed, names->entries[i].name) =
                names->entries[i];
        }
    }
    amy__free(names->entries);
    *names = bigger;
    return 0;
}

/* The staged set of that choice, made when it is new; the table's. */
static int
need_set(struct names *names, const struct amy__tls_choice *choice,
         struct amy__tls_set **ret_set, struct amy_error *err)
{
    struct amy__tls_set **grown = NULL;
    int rc = 0;

    /* From the end: the names of one site come one behind the other. */
    for (size_t i = names->set_count; i > 0; i--) {
        if (amy__tls_set_is(names->sets[i - 1], choice)) {
            *ret_set = names->sets[i - 1];
            return 0;
        }
    }
    grown = amy__realloc(names->sets, (names->set_count + 1) *
                                          sizeof(struct amy__tls_set *));
    if (grown == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a set of certificates");
    }
    names->sets = grown;
    rc = amy__tls_set_create(choice, ret_set, err);
    if (rc == 0) {
        names->sets[names->set_count++] = *ret_set;
    }
    return rc;
}

int
amy__tls_add(struct amy__tls *tls, const char *name,
             const struct amy__tls_choice *choice, struct amy_error *err)
{
    char folded[NAME_MAX_BYTES + 1];
    struct amy__tls_set *set = NULL;
    struct entry *entry = NULL;
    int rc = 0;

    if (!tls->staging) {
        return amy__err(err, AMY_ESTATE, "no set of names is staged");
    }
    if (!fold(amy__span_of(name), folded)) {
        return amy__err(err, AMY_EINVAL, "not a host name");
    }
    rc = grow(tls, err);
    if (rc == 0) {
        rc = need_set(&tls->staged, choice, &set, err);
    }
    if (rc < 0) {
        return rc;
    }
    entry = locate(&tls->staged, tls->seed, folded);
    if (entry->name != NULL) {
        return amy__err(err, AMY_EEXIST, "'%s' has a certificate already",
                        folded);
    }
    entry->name = amy__strdup(folded);
    if (entry->name == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a name");
    }
    entry->set = set;
    tls->staged.count++;
    return 0;
}

int
amy__tls_set_default(struct amy__tls *tls, const struct amy__tls_choice *choice,
                     struct amy_error *err)
{
    if (!tls->staging) {
        return amy__err(err, AMY_ESTATE, "no set of names is staged");
    }
    return need_set(&tls->staged, choice, &tls->staged.otherwise, err);
}

int
amy__tls_set_ticket_keys(struct amy__tls *tls, const uint8_t *keys,
                         size_t count, struct amy_error *err)
{
    struct names *names = tls->staging ? &tls->staged : &tls->live;

    if (count == 0 || count > TICKET_KEYS_MAX) {
        return amy__err(err, AMY_EINVAL, "1 to %d ticket keys, not %zu",
                        TICKET_KEYS_MAX, count);
    }
    memcpy(names->keys, keys, count * TICKET_KEY_BYTES);
    names->key_count = count;
    if (!tls->staging) {
        (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(tls->base, on_ticket);
    }
    return 0;
}

void
amy__tls_commit(struct amy__tls *tls)
{
    AMY_ASSERT(tls->staging);
    if (tls->staged.key_count == 0) {
        memcpy(tls->staged.keys, tls->live.keys, sizeof(tls->live.keys));
        tls->staged.key_count = tls->live.key_count;
    }
    clear_names(&tls->live);
    tls->live = tls->staged;
    amy__wipe(tls->staged.keys, sizeof(tls->staged.keys));
    tls->staged = (struct names){0};
    tls->staging = false;
    if (tls->live.key_count > 0) {
        (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(tls->base, on_ticket);
    }
}

void
amy__tls_abandon(struct amy__tls *tls)
{
    clear_names(&tls->staged);
    tls->staging = false;
}

bool
amy__tls_same_cert(const struct amy__tls *tls, struct amy__span a,
                   struct amy__span b)
{
    const struct amy__tls_set *first = look_up(tls, a);
    const struct amy__tls_set *second = look_up(tls, b);

    first = first == NULL ? tls->live.otherwise : first;
    second = second == NULL ? tls->live.otherwise : second;
    return first != NULL && first == second;
}
