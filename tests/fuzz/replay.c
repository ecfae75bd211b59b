/* Runs a fuzz target over every file of the directories it is given, and over
 * every beginning of each: what libFuzzer's main does elsewhere. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define INPUT_MAX (1U << 20)
#define PREFIXES_MAX 4096

/* A block of the exact size, so that reading past it is seen. */
static void
try_input(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    FUZZ_CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int
replay_file(const char *path)
{
    static uint8_t data[INPUT_MAX];
    FILE *file = fopen(path, "rbe");
    size_t size = 0;

    if (file == NULL) {
        perror(path);
        return -1;
    }
    size = fread(data, 1, sizeof(data), file);
    (void)fclose(file);
    for (size_t n = 0; n < size && n < PREFIXES_MAX; n++) {
        try_input(data, n);
    }
    try_input(data, size);
    return 0;
}

static int
replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;
    int failed = 0;
    int files = 0;

    if (dir == NULL) {
        perror(path);
        return -1;
    }
    for (entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char file[4096];

        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        failed |= replay_file(file);
        files++;
    }
    (void)closedir(dir);
    printf("%s: %d files\n", path, files);
    return files > 0 ? failed : -1;
}

int
main(int argc, char **argv)
{
    int failed = argc < 2;

    for (int i = 1; i < argc; i++) {
        failed |= replay_directory(argv[i]);
    }
    return failed != 0 ? 1 : 0;
}
