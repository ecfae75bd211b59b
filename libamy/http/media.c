/* A table of media types for static files. Not the system's mime.types: what
 * we answer must not change with the packages of a machine. */
#include "http/media.h"

#include "http/chars.h"

#include <stdlib.h>
#include <string.h>

#define SUFFIX_MAX 16

struct media {
    const char *suffix;
    const char *type;
};

/* Sorted by suffix. */
static const struct media media[] = {
    {"7z", "application/x-7z-compressed"},
    {"aac", "audio/aac"},
    {"apng", "image/apng"},
    {"atom", "application/atom+xml"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"br", "application/octet-stream"},
    {"bz2", "application/x-bzip2"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"doc", "application/msword"},
    {"docx", "application/"
             "vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"eot", "application/vnd.ms-fontobject"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"geojson", "application/geo+json"},
    {"gif", "image/gif"},
    {"glb", "model/gltf-binary"},
    {"gltf", "model/gltf+json"},
    {"gz", "application/gzip"},
    {"heic", "image/heic"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/x-icon"},
    {"ics", "text/calendar; charset=utf-8"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"jsonld", "application/ld+json"},
    {"jxl", "image/jxl"},
    {"m4a", "audio/mp4"},
    {"m4v", "video/mp4"},
    {"map", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpeg", "video/mpeg"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"oga", "audio/ogg"},
    {"ogg", "audio/ogg"},
    {"ogv", "video/ogg"},
    {"opus", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"pptx", "application/"
             "vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"rss", "application/rss+xml"},
    {"rtf", "application/rtf"},
    {"svg", "image/svg+xml; charset=utf-8"},
    {"tar", "application/x-tar"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain; charset=utf-8"},
    {"vcf", "text/vcard; charset=utf-8"},
    {"vtt", "text/vtt; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"weba", "audio/webm"},
    {"webm", "video/webm"},
    {"webmanifest", "application/manifest+json"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml"},
    {"xlsx", "application/"
             "vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

static int
compare(const void *key, const void *element)
{
    const struct media *m = element;

    return strcmp(key, m->suffix);
}

struct amy__span
amy__media_type(struct amy__span path)
{
    char suffix[SUFFIX_MAX] = {0};
    const struct media *found = NULL;
    size_t i = path.n;
    size_t n = 0;

    while (i > 0 && path.p[i - 1] != '.' && path.p[i - 1] != '/') {
        i--;
    }
    n = path.n - i;
    /* "/name" has no suffix, "/.name" neither. */
    if (n > 0 && n < sizeof(suffix) && i > 1 && path.p[i - 1] == '.' &&
        path.p[i - 2] != '/') {
        amy__lower(suffix, path.p + i, n);
        found = bsearch(suffix, media, sizeof(media) / sizeof(media[0]),
                        sizeof(media[0]), compare);
    }
    return found != NULL ? amy__span_of(found->type)
                         : AMY_SPAN("application/octet-stream");
}

bool
amy__media_is_packed(struct amy__span type)
{
    static const struct amy__span packed[] = {
        {"video/", 6},
        {"audio/", 6},
        {"font/woff", 9},
        {"application/zip", 15},
        {"application/gzip", 16},
        {"application/zstd", 16},
        {"application/x-bzip2", 19},
        {"application/x-7z-compressed", 27},
    };

    if (amy__span_starts(type, AMY_SPAN("image/"))) {
        return !amy__span_starts(type, AMY_SPAN("image/svg+xml")) &&
               !amy__span_eq(type, AMY_SPAN("image/bmp")) &&
               !amy__span_eq(type, AMY_SPAN("image/x-icon"));
    }
    for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
        if (amy__span_starts(type, packed[i])) {
            return true;
        }
    }
    return false;
}
