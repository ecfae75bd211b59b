/* Any bytes as an answer of S3: what is told is within its bounds. */
#include "backup/s3xml.h"
#include "fuzz.h"

#include <string.h>

static int
look(const char *path, const char *text, void *user, struct amy_error *err)
{
    (void)user;
    (void)err;
    FUZZ_CHECK(path[0] != '\0' && strlen(path) < AMY__S3XML_PATH_SIZE);
    FUZZ_CHECK(strlen(text) <= AMY__S3XML_TEXT_MAX);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)!amy__s3xml_read((struct amy__span){(const char *)data, size}, look,
                           NULL, NULL);
    return 0;
}
