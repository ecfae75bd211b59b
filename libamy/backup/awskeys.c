/* Finds the keys for S3. */
/* Not for signing with them: libcurl does, in fetch/. */
#include "backup/awskeys.h"

#include "core/civil.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "fetch/fetch.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)256 * 1024)
#define IMDS "http://169.254.169.254"
#define IMDS_MS 5000
#define IMDS_MAX ((size_t)16 * 1024)
#define URL_SIZE 512
#define TOKEN_SIZE 1024

void
amy__awskeys_clear(struct amy__awskeys *keys)
{
    amy__wipe(keys, sizeof(*keys));
}

bool
amy__awskeys_are_due(const struct amy__awskeys *keys, int64_t asked_ms,
                     int64_t now_ms)
{
    bool just_asked =
        asked_ms <= now_ms && now_ms - asked_ms < AMY__AWSKEYS_AGAIN_MS;

    if (keys->key[0] == '\0' || keys->ends_ms <= now_ms) {
        return true;
    }
    return keys->ends_ms != INT64_MAX && !just_asked &&
           keys->ends_ms - now_ms < AMY__AWSKEYS_EARLY_MS;
}

/* They go into a field of a request. */
static bool
take(struct amy__span value, char *ret, size_t size)
{
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] <= ' ' || value.p[i] > '~') {
            return false;
        }
    }
    return value.n > 0 && amy__span_copy(value, ret, size);
}

/* --- a file --- */

/* "[default]", or "[profile x]" as the file of settings has it. */
static bool
is_profile(struct amy__span line, const char *profile)
{
    struct amy__span name = line;

    if (line.n < 2 || line.p[line.n - 1] != ']') {
        return false;
    }
    name.p++;
    name.n -= 2;
    if (amy__span_starts(name, AMY_SPAN("profile "))) {
        name.p += 8;
        name.n -= 8;
    }
    return amy__span_eq(amy__span_trim(name), amy__span_of(profile));
}

/* A line "name = value" of the profile. */
static bool
take_line(struct amy__span line, struct amy__awskeys *ret)
{
    struct amy__span rest = line;
    struct amy__span name = {NULL, 0};

    if (!amy__span_split(&rest, '=', &name) || rest.p == NULL) {
        return true; /* none of ours */
    }
    name = amy__span_trim(name);
    rest = amy__span_trim(rest);
    if (amy__span_eq(name, AMY_SPAN("aws_access_key_id"))) {
        return take(rest, ret->key, sizeof(ret->key));
    }
    if (amy__span_eq(name, AMY_SPAN("aws_secret_access_key"))) {
        return take(rest, ret->secret, sizeof(ret->secret));
    }
    if (amy__span_eq(name, AMY_SPAN("aws_session_token"))) {
        return take(rest, ret->token, sizeof(ret->token));
    }
    return true;
}

int
amy__awskeys_read_file(struct amy__span text, const char *profile,
                       struct amy__awskeys *ret, struct amy_error *err)
{
    struct amy__span line = {NULL, 0};
    bool inside = false;
    bool found = false;
    bool good = true;

    *ret = (struct amy__awskeys){.ends_ms = INT64_MAX};
    while (good && amy__span_split(&text, '\n', &line)) {
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        line = amy__span_trim(line);
        if (line.n > 0 && line.p[0] == '[') {
            inside = is_profile(line, profile);
            found = found || inside;
        } else if (inside && line.n > 0 && line.p[0] != '#' &&
                   line.p[0] != ';') {
            good = take_line(line, ret);
        }
    }
    if (!found) {
        return amy__err(err, AMY_ENOTFOUND,
                        "the file of credentials has no profile '%s'", profile);
    }
    if (!good || ret->key[0] == '\0' || ret->secret[0] == '\0') {
        return amy__err(err, AMY_EPARSE,
                        "the profile '%s' has no good keys in the file of "
                        "credentials",
                        profile);
    }
    return 0;
}

static int
get_from_file(const char *profile, struct amy__awskeys *ret,
              struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    const char *told = getenv("AWS_SHARED_CREDENTIALS_FILE");
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    char *slash = NULL;
    int rc = 0;

    AMY_CLEANUP(amy__close_p) int fd = -1;

    (void)snprintf(path, sizeof(path), "%s%s",
                   told != NULL   ? told
                   : home == NULL ? ""
                                  : home,
                   told != NULL ? "" : "/.aws/credentials");
    slash = strrchr(path, '/');
    if (slash == NULL || path[0] != '/') {
        return amy__err(err, AMY_ENOTFOUND,
                        "there is no path from '/' to a file of credentials");
    }
    *slash = '\0';
    fd = amy__open_dir(path[0] == '\0' ? "/" : path, err);
    if (fd < 0) {
        return fd;
    }
    amy__buf_init(&text, FILE_MAX);
    rc = amy__read_file_at(fd, slash + 1, FILE_MAX, &text, NULL, err);
    rc = rc < 0
             ? rc
             : amy__awskeys_read_file(amy__buf_span(&text), profile, ret, err);
    if (text.data != NULL) {
        amy__wipe(text.data, text.len);
    }
    return rc;
}

/* --- the environment --- */

static int
get_from_environment(struct amy__awskeys *ret, struct amy_error *err)
{
    const char *token = getenv("AWS_SESSION_TOKEN");

    *ret = (struct amy__awskeys){.ends_ms = INT64_MAX};
    if (!take(amy__span_of(getenv("AWS_ACCESS_KEY_ID")), ret->key,
              sizeof(ret->key)) ||
        !take(amy__span_of(getenv("AWS_SECRET_ACCESS_KEY")), ret->secret,
              sizeof(ret->secret)) ||
        (token != NULL && token[0] != '\0' &&
         !take(amy__span_of(token), ret->token, sizeof(ret->token)))) {
        return amy__err(err, AMY_ENOTFOUND,
                        "the site's environment has no AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY");
    }
    return 0;
}

/* --- the machine's role --- */

bool
amy__aws_time(const char *text, int64_t *ret_ms)
{
    char longer[32] = "";
    struct amy__span time = amy__span_of(text);

    if (time.n == 20 && text[19] == 'Z') {
        (void)snprintf(longer, sizeof(longer), "%.19s.000Z", text);
        time = amy__span_of(longer);
    }
    return amy__civil_parse(time, ret_ms);
}

int
amy__awskeys_read_role(struct amy__span text, struct amy__awskeys *ret,
                       struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = NULL;
    bool good = amy__json_parse(text, &json, NULL) == 0;

    *ret = (struct amy__awskeys){.ends_ms = INT64_MAX};
    good = good &&
           take(amy__span_of(amy__json_get_text(json, "AccessKeyId", "")),
                ret->key, sizeof(ret->key)) &&
           take(amy__span_of(amy__json_get_text(json, "SecretAccessKey", "")),
                ret->secret, sizeof(ret->secret)) &&
           take(amy__span_of(amy__json_get_text(json, "Token", "")), ret->token,
                sizeof(ret->token)) &&
           amy__aws_time(amy__json_get_text(json, "Expiration", ""),
                         &ret->ends_ms);
    if (!good) {
        amy__awskeys_clear(ret);
        return amy__err(err, AMY_EPARSE,
                        "the metadata service has no good keys");
    }
    return 0;
}

/* One question to the metadata service; NULL: for the token that all others
 * need. Its answer is taken into ret. */
static int
ask_imds(struct amy__fetch *client, const char *path, const char *token,
         struct amy__fetch_got *ret, struct amy_error *err)
{
    const char *told = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    struct amy__span base = {NULL, 0};
    char url[URL_SIZE];
    char field[TOKEN_SIZE + 64];
    const char *fields[] = {"X-aws-ec2-metadata-token-ttl-seconds: 21600",
                            NULL};
    struct amy__fetch_request request = {.method = "PUT",
                                         .url = url,
                                         .fields = fields,
                                         .timeout_ms = IMDS_MS,
                                         .answer_max = IMDS_MAX};
    int rc = 0;

    base = amy__span_of(told == NULL ? IMDS : told);
    base.n -= amy__span_ends(base, AMY_SPAN("/"));
    (void)snprintf(url, sizeof(url), AMY_SPAN_FMT "%s", AMY_SPAN_ARG(base),
                   path);
    if (token != NULL) {
        (void)snprintf(field, sizeof(field), "X-aws-ec2-metadata-token: %s",
                       token);
        fields[0] = field;
        request.method = "GET";
    }
    amy__fetch_got_clear(ret);
    rc = amy__fetch_wait(client, &request, ret, err);
    if (rc == 0 && ret->status != 200) {
        rc = amy__err(err, AMY_ENOTFOUND,
                      "the metadata service answered %u: has this machine a "
                      "role?",
                      ret->status);
    }
    return rc;
}

/* Version 2: a token first, then the role's name, then its keys. */
static int
ask_role(struct amy__fetch *client, struct amy__fetch_got *got,
         struct amy__awskeys *ret, struct amy_error *err)
{
    static const char roles[] = "/latest/meta-data/iam/security-credentials/";
    struct amy__span line = {NULL, 0};
    struct amy__span rest = {NULL, 0};
    char token[TOKEN_SIZE] = "";
    char role[128] = "";
    char path[URL_SIZE / 2];
    int rc = ask_imds(client, "/latest/api/token", NULL, got, err);

    if (rc == 0 && !take(amy__buf_span(&got->body), token, sizeof(token))) {
        rc = amy__err(err, AMY_EPARSE, "the metadata service gave no token");
    }
    rc = rc < 0 ? rc : ask_imds(client, roles, token, got, err);
    rest = amy__buf_span(&got->body);
    if (rc == 0 && (!amy__span_split(&rest, '\n', &line) ||
                    !take(line, role, sizeof(role)))) {
        rc = amy__err(err, AMY_ENOTFOUND, "this machine has no role");
    }
    (void)snprintf(path, sizeof(path), "%s%s", roles, role);
    rc = rc < 0 ? rc : ask_imds(client, path, token, got, err);
    return rc < 0 ? rc
                  : amy__awskeys_read_role(amy__buf_span(&got->body), ret, err);
}

static int
get_from_imds(struct event_base *base, struct amy__awskeys *ret,
              struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_free_p) struct amy__fetch *client = NULL;
    AMY_CLEANUP(amy__fetch_got_clear_p)
    struct amy__fetch_got got = {.status = 0};
    struct amy__fetch_options opts = {.base = base, .plain = true};
    int rc = amy__fetch_create(&opts, &client, err);

    rc = rc < 0 ? rc : ask_role(client, &got, ret, err);
    if (got.body.data != NULL) {
        amy__wipe(got.body.data, got.body.len);
    }
    return rc;
}

int
amy__awskeys_get(const char *source, const char *profile,
                 struct event_base *base, struct amy__awskeys *ret,
                 struct amy_error *err)
{
    struct amy__awskeys fresh;
    int rc = 0;

    if (strcmp(source, "file") == 0) {
        rc = get_from_file(profile, &fresh, err);
    } else if (strcmp(source, "imds") == 0) {
        rc = get_from_imds(base, &fresh, err);
    } else {
        rc = get_from_environment(&fresh, err);
    }
    if (rc == 0) {
        *ret = fresh;
    }
    amy__awskeys_clear(&fresh);
    return rc;
}
